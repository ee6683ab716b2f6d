package api

import "github.com/hostnat/hostnat/internal/model"

// Version is the answer to GET /v1/version.
type Version struct {
	Version string `json:"version"`
}

// natSettings is the body of PATCH /v1/nats/{nat}.
type natSettings struct {
	Settings map[string]string `json:"settings"`
}

// networkSettings is the body of PATCH /v1/networks/{network}.
type networkSettings struct {
	Settings map[string]string `json:"settings"`
}

// renumberSpec is the body of POST /v1/networks/{network}/renumber.
type renumberSpec struct {
	Subnet string `json:"subnet,omitempty"` // empty: a free one is chosen
}

// doctorSpec is the body of POST /v1/doctor.
type doctorSpec struct {
	Fix bool `json:"fix,omitempty"` // do what is safe to do
}

// addressSpec is the body of POST /v1/nats/{nat}/addresses.
type addressSpec struct {
	Address string `json:"address"` // A[:LO-HI]
}

// errorBody is the body of every answer that is not a success.
type errorBody struct {
	Error model.Error `json:"error"`
}
