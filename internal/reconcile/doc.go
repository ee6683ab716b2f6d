// Package reconcile makes the kernel equal to the desired state.
//
// A plan is a pure function of the configuration and of what the host has
// (plan.go); so is what the data path is told (config.go). One executor carries
// them out (execute.go). Apply has it go by everything, and by what there is; Change
// by the part that a change concerns, and by what was applied before.
package reconcile
