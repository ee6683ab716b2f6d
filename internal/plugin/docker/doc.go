// Package docker has hostnat follow a Docker daemon. Docker's own bridge driver
// connects containers to the bridge of one of hostnat's networks and shows their
// ports; this package makes each an endpoint with the container's name, and each
// published port a mapping. It speaks to Docker and to hostnat's API alone.
package docker
