// Package server answers the API: JSON under /v1 on a unix socket, as package
// api has it and openapi.json describes it. It decides who may call, and
// converts between what travels and hostnat's own values, one file a noun. What
// a call does is decided behind Service.
package server
