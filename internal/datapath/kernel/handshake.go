package kernel

import "github.com/hostnat/hostnat/internal/model"

// ToHandshake reads what a session has of its handshake (bpf/handshake.h).
func ToHandshake(endpoint, outside uint32, repeatedSYNs uint8) model.Handshake {
	const runs = uint32(bpfRttFlagsCLOCK_RUNS)
	h := model.Handshake{RepeatedSYNs: repeatedSYNs}
	switch {
	case endpoint&runs != 0:
		h.Awaits, h.OutsideMicroseconds = model.EndpointSide, outside
	case outside&runs != 0:
		h.Awaits, h.EndpointMicroseconds = model.OutsideSide, endpoint
	default:
		h.EndpointMicroseconds, h.OutsideMicroseconds = endpoint, outside
	}
	return h
}
