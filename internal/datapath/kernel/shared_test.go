package kernel

import (
	"testing"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// TestSharedNumbers: what other packages call by names of their own has the
// numbers of the object. The reasons are compared by archtest.
func TestSharedNumbers(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]uint32{
		"session created":           {uint32(bpfEventIdEVENT_SESSION_CREATE), uint32(event.SessionCreate)},
		"session state":             {uint32(bpfEventIdEVENT_SESSION_STATE), uint32(event.SessionTCPStateUpdate)},
		"session timeout":           {uint32(bpfEventIdEVENT_SESSION_TIMEOUT), uint32(event.SessionTimeout)},
		"session deleted":           {uint32(bpfEventIdEVENT_SESSION_DELETE), uint32(event.SessionDelete)},
		"binding created":           {uint32(bpfEventIdEVENT_BINDING_CREATE), uint32(event.BindingCreate)},
		"binding deleted":           {uint32(bpfEventIdEVENT_BINDING_DELETE), uint32(event.BindingDelete)},
		"binding's sessions":        {uint32(bpfEventIdEVENT_BINDING_SESSIONS), uint32(event.BindingSessionCount)},
		"table full":                {uint32(bpfEventIdEVENT_TABLE_FULL), uint32(event.MemoryAllocationFailure)},
		"out of ports":              {uint32(bpfEventIdEVENT_OUT_OF_PORTS), uint32(event.OutOfPorts)},
		"endpoint-dependent begins": {uint32(bpfEventIdEVENT_ENDPOINT_DEPENDENT_BEGIN), uint32(event.EndpointDependentBegin)},
		"endpoint-dependent ends":   {uint32(bpfEventIdEVENT_ENDPOINT_DEPENDENT_END), uint32(event.EndpointDependentEnd)},
		"endpoint's limit":          {uint32(bpfEventIdEVENT_ENDPOINT_LIMIT), uint32(event.EndpointLimited)},
		"state: none":               {uint32(bpfTcpStateSTATE_NONE), uint32(model.StateNone)},
		"state: internal SYN":       {uint32(bpfTcpStateSTATE_INTERNAL_SYN), uint32(model.StateInternalSYN)},
		"state: external SYN":       {uint32(bpfTcpStateSTATE_EXTERNAL_SYN), uint32(model.StateExternalSYN)},
		"state: established":        {uint32(bpfTcpStateSTATE_ESTABLISHED), uint32(model.StateEstablished)},
		"state: internal FIN":       {uint32(bpfTcpStateSTATE_INTERNAL_FIN), uint32(model.StateInternalFIN)},
		"state: external FIN":       {uint32(bpfTcpStateSTATE_EXTERNAL_FIN), uint32(model.StateExternalFIN)},
		"state: both FIN":           {uint32(bpfTcpStateSTATE_BOTH_FIN), uint32(model.StateBothFIN)},
		"state: time wait":          {uint32(bpfTcpStateSTATE_TIME_WAIT), uint32(model.StateTimeWait)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %d in the object, %d here", name, pair[0], pair[1])
		}
	}
}
