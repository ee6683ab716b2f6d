// Package podman is a plugin of netavark, Podman's network program: a network of
// Podman's with the driver hostnat is one of hostnat's, its containers are endpoints
// with their names, and their published ports are mappings. It speaks to hostnat's
// API alone. Netavark runs it for each container and network, with JSON on standard
// input and output (plugin-API.md in netavark's sources).
package podman
