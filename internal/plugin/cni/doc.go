// Package cni is a CNI plugin: containerd, nerdctl, CRI-O and Podman before 5 run it for
// each container that joins a network of theirs. The network is one of hostnat's, the
// container an endpoint, its published ports mappings. It speaks to hostnat's API
// alone. The specification is that of github.com/containernetworking/cni, whose
// packages read requests and write answers.
package cni
