package daemon

import (
	"context"

	"github.com/hostnat/hostnat/internal/explain"
)

// Explain says what would become of a packet now.
func (s service) Explain(ctx context.Context, q explain.Question) (explain.Answer, error) {
	facts, err := s.kernel.Facts(ctx)
	if err != nil {
		return explain.Answer{}, err
	}
	w := explain.World{Config: s.Inventory(ctx).Config.Effective().Unfolded(), Host: facts}
	return explain.Ask(ctx, q, w, s.kernel.Try)
}
