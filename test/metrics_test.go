package test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/expfmt"
	prometheus "github.com/prometheus/common/model"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/api"
)

// numbersAgree is the command that wants the metrics to be read by Prometheus's own
// parser, and to say what status says.
func numbersAgree(m *machine, _ *testscript.TestScript, _ []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	before, err := m.client().Status(ctx)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := m.client().Metrics(ctx, &text); err != nil {
		return err
	}
	after, err := m.client().Status(ctx)
	if err != nil {
		return err
	}
	parser := expfmt.NewTextParser(prometheus.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		return err
	}
	got := make(map[string]float64) // by name, and the first label's value
	for name, f := range families {
		for _, v := range f.Metric {
			key := name
			if len(v.Label) > 0 {
				key += " " + v.Label[0].GetValue()
			}
			got[key] = v.GetGauge().GetValue() + v.GetCounter().GetValue()
		}
	}
	low, high := numbersOf(before), numbersOf(after)
	for key := range high {
		if v, there := got[key]; !there || v < low[key] || v > high[key] {
			return fmt.Errorf("%s is %v (%t); status says %v, and %v after it", key, v, there, low[key], high[key])
		}
	}
	return nil
}

// numbersOf are those of status, as the metrics name them.
func numbersOf(s api.Status) map[string]float64 {
	numbers := map[string]float64{
		"hostnat_nats": float64(s.NATs), "hostnat_networks": float64(s.Networks), "hostnat_endpoints": float64(s.Endpoints),
		"hostnat_mappings": float64(s.Mappings), "hostnat_bindings": float64(s.Bindings), "hostnat_sessions": float64(s.Sessions),
		"hostnat_sessions_max": float64(s.MaxSessions), "hostnat_build_info " + s.Version: 1,
	}
	for reason, packets := range s.Drops {
		numbers["hostnat_dropped_packets_total "+reason] = float64(packets)
	}
	return numbers
}
