package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/doctor"
)

func doctorRoutes() []route {
	return []route{
		list("/v1/doctor", func(s Service, r *http.Request) ([]api.Finding, error) {
			found, err := s.Doctor(r.Context(), false)
			return Findings(found), err
		}),
		change(http.MethodPost, "/v1/doctor", http.StatusOK, func(ctx context.Context, s Service, _ *http.Request, in api.DoctorSpec) ([]api.Finding, error) {
			found, err := s.Doctor(ctx, in.Fix)
			return Findings(found), err
		}),
	}
}

// Findings are what doctor found, as the API says it.
func Findings(found []doctor.Finding) []api.Finding {
	return each(found, func(f doctor.Finding) api.Finding {
		return api.Finding{
			Check: f.Check, Severity: string(f.Severity), What: f.What, Why: f.Why,
			Command: f.Command, Fixable: f.Fixable, Fixed: f.Fixed, Failed: f.Failed,
		}
	})
}
