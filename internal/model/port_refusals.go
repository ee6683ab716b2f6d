package model

// PortRefusals is how many frames of a plugged-in port were refused for a reason.
type PortRefusals struct {
	Interface, Reason string
	Frames            uint64
}
