// Package model holds the values that all of hostnat speaks in: networks,
// endpoints, NATs, mappings, proxies, sessions, and the errors. It reads them
// from text and prints them. It does no IO and reads no clock.
package model
