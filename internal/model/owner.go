package model

import "slices"

// pluginOwners are the programs for which hostnat makes things by itself, and takes
// them away again: it follows them.
var pluginOwners = []string{"docker", "docker-driver", "podman", "cni"}

// IsPluginOwner reports whether things with that owner are made and taken away by
// hostnat's plugin for it. A person's change would be undone.
func IsPluginOwner(owner string) bool { return slices.Contains(pluginOwners, owner) }
