// Package machined asks systemd-machined, where the host has it, which guests have
// which links: libvirt and systemd-nspawn tell it. So guests that are plugged into a
// network's bridge are known by the names that their users gave them.
//
// The interface is org.freedesktop.machine1(5), over the system's D-Bus. A host without
// it is left alone, and it is not started for this.
package machined
