// Package config holds the configuration, which is everything a user has asked
// for, with its look-ups, its edits and the rules that these keep. It does no IO
// and reads no clock: what only the host knows comes in as an argument.
package config
