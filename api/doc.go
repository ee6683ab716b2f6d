// Package api is hostnat's API: what is asked and answered over the daemon's
// socket, and a Client that does so. The values are plain: what they mean and
// what they may hold is checked by the daemon, which refuses with an *Error.
//
//	client := api.NewClient(api.DefaultSocket)
//	networks, err := client.Networks(ctx)
//
// Objects that exist carry whatever the daemon knows of them. A Spec asks for an
// object: its fields are texts as a person would type them, and what is left
// empty is chosen. The package imports nothing but Go's own library.
package api
