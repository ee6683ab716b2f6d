package doctor

// Severity is how much a finding matters.
type Severity string

// The severities. A note is worth knowing and no fault.
const (
	Problem Severity = "problem" // something does not work
	Warning Severity = "warning" // something will not work in a case that comes up
	Note    Severity = "note"
)

// Finding is one thing that a check found.
type Finding struct {
	Check    string // its name, a heading of docs/doctor.md: "overlap"
	Severity Severity
	What     string
	Why      string // why it matters
	Command  string // what fixes it; empty: it takes a decision
	Fixable  bool   // --fix does it
	Fixed    string // what --fix did
	Failed   string // why --fix could not

	fix *Fix
}

// Faulty reports whether the finding is a fault that is still there.
func (f Finding) Faulty() bool { return f.Severity != Note && f.Fixed == "" }

// Fix is a repair that is safe: it undoes what hostnat left behind, or sets one
// value that Undo sets back. Exactly one of the fields is set.
type Fix struct {
	DeleteLink          string       // one of ours
	ReleaseBridge       *LentAddress // an address that we lent to a bridge
	ReleasePointToPoint string       // a link that had an endpoint of a per-endpoint network behind it
	Sysctl              *Sysctl
	AcceptBridged       *BridgeRule // in an iptables-nft chain of IPv4
}

// LentAddress is an address that hostnat gave to a bridge of somebody else.
type LentAddress struct{ Bridge, Prefix string }

// Sysctl is a value below /proc/sys.
type Sysctl struct{ Path, Value, Was string }

// BridgeRule is a rule that accepts what goes from a bridge to itself, at the
// head of an iptables-nft chain.
type BridgeRule struct{ Table, Chain, Bridge string }
