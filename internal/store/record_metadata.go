package store

import "github.com/hostnat/hostnat/internal/model"

// metadataRecord is what is noted on an object, beside the object's own fields.
type metadataRecord struct {
	Labels map[string]string `json:"labels,omitempty"`
	Owner  string            `json:"owner,omitempty"`
}

func metadataToRecord(m model.Metadata) metadataRecord { return metadataRecord(m) }

func (r metadataRecord) metadata() model.Metadata { return model.Metadata(r) }
