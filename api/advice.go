package api

// Advice is a part of what a change answers with.
type Advice struct {
	// Warnings say what is allowed and surely not meant, one line each. Status has them
	// for as long as they hold.
	Warnings []string `json:"warnings,omitempty"`
}

// Told returns the warnings.
func (a Advice) Told() []string { return a.Warnings }
