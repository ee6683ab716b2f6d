// Package reconcile makes the kernel equal to the desired state.
//
// A plan is a pure function of the configuration and of what the host has
// (plan.go); so is what the data path is told (config.go). Kernel carries them
// out, and answers what control asks of the kernel.
package reconcile
