// Package e2e tries hostnat with real programs: curl, nginx, a Docker container
// and a QEMU virtual machine, each in namespaces of its own. `make e2e` runs
// it, as root; scripts/e2e-install.sh installs the programs.
//
// A test whose program is missing is skipped; with E2E=required or CI in the
// environment it fails.
package e2e
