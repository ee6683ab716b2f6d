package api

import "github.com/hostnat/hostnat/internal/nat"

// Version is the answer to GET /v1/version.
type Version struct {
	Version string `json:"version"`
}

// natSettings is the body of PATCH /v1/nats/{nat}.
type natSettings struct {
	Settings map[string]string `json:"settings"`
}

// addressSpec is the body of POST /v1/nats/{nat}/addresses.
type addressSpec struct {
	Address string `json:"address"` // A[:LO-HI]
}

// errorBody is the body of every answer that is not a success.
type errorBody struct {
	Error nat.Error `json:"error"`
}
