// Package api is hostnat's HTTP interface: JSON under /v1 on a unix socket. It
// has the server that the daemon runs, the Client that everything else uses,
// and the OpenAPI document that describes both.
//
// Package api decides who may call and how values travel. What a call does is
// decided behind Service.
package api
