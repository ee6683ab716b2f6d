package config

import "github.com/hostnat/hostnat/internal/model"

// sameMetadata refuses to take a thing that exists for one that was asked for
// with other labels or another owner: whoever asks would take another's for its
// own. Who asks for none takes it as it is.
func sameMetadata(what string, has, asked model.Metadata) error {
	if asked.Empty() || asked.Equal(has) {
		return nil
	}
	if asked.Owner != has.Owner {
		return model.Errorf(model.Conflict, "%s exists already, with owner %q", what, has.Owner).WithHint("leave labels and owner out to use it as it is, or delete it first")
	}
	return model.Errorf(model.Conflict, "%s exists already, with other labels", what).WithHint("leave labels and owner out to use it as it is, or delete it first")
}
