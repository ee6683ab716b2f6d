package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/configfile"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

// maxFiles is the longest body with configuration files, in bytes: some 100,000
// mappings.
const maxFiles = 16 << 20

func configurationRoutes() []route {
	return []route{
		get("/v1/configuration", exportConfiguration),
		changeOf(maxFiles, http.MethodPost, "/v1/configuration", http.StatusOK, applyConfiguration),
	}
}

func exportConfiguration(s Service, r *http.Request) (api.ExportedConfiguration, error) {
	w, left, err := s.Export(r.Context())
	if err != nil {
		return api.ExportedConfiguration{}, err
	}
	comment := "hostnat's configuration, for 'hostnat apply -f FILE'.\n" +
		"What is not here has its default, or follows from what is here; 'hostnat export --schema' has all keys."
	if len(left) > 0 {
		comment += "\nLeft out: " + strings.Join(left, ", ") + "."
	}
	text, err := configfile.Write(w, comment)
	return api.ExportedConfiguration{Text: string(text), LeftOut: append([]string{}, left...)}, err
}

func applyConfiguration(ctx context.Context, s Service, r *http.Request, in api.ApplySpec) (api.Applied, error) {
	if len(in.Files) == 0 {
		return api.Applied{}, model.Errorf(model.Invalid, "there are no files to apply")
	}
	wanted, err := configfile.Parse(each(in.Files, func(f api.ConfigurationFile) configfile.File { return configfile.File(f) })...)
	if err != nil {
		return api.Applied{}, err
	}
	if len(wanted.Sections) == 0 {
		return api.Applied{}, model.Errorf(model.Invalid, "%s: there is no configuration in it", in.Files[0].Name).
			WithHint("write nats:, networks:, endpoints:, mappings:, or what else 'hostnat export' shows")
	}
	done, err := s.ApplyFiles(ctx, wanted, control.ApplyOptions{DryRun: in.DryRun, Whole: in.Prune, GivenUp: r.Context().Err})
	return api.Applied{Changes: each(done.Changes, objectChangeOf), Warnings: append([]string{}, done.Warnings...)}, err
}

func objectChangeOf(c diff.Object) api.ConfigurationChange {
	return api.ConfigurationChange{Verb: c.Verb, Kind: c.Kind, Name: c.Name,
		Fields: each(c.Fields, func(f diff.Field) api.FieldChange { return api.FieldChange(f) })}
}
