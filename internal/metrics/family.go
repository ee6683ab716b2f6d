package metrics

import dto "github.com/prometheus/client_model/go"

// value is one number with its labels, whatever its family's type.
type value struct {
	number float64
	labels []*dto.LabelPair
}

// sample makes a value; labels are names and values in turn.
func sample[N int | uint64](n N, labels ...string) value {
	v := value{number: float64(n)}
	for i := 0; i+1 < len(labels); i += 2 {
		v.labels = append(v.labels, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	return v
}

// as is the value as one of a family.
func (v value) as(f *dto.MetricFamily) *dto.Metric {
	if f.GetType() == dto.MetricType_COUNTER {
		return &dto.Metric{Label: v.labels, Counter: &dto.Counter{Value: &v.number}}
	}
	return &dto.Metric{Label: v.labels, Gauge: &dto.Gauge{Value: &v.number}}
}

func gauge(name, help string, values ...value) *dto.MetricFamily {
	return family(dto.MetricType_GAUGE, name, help, values)
}

func counter(name, help string, values ...value) *dto.MetricFamily {
	return family(dto.MetricType_COUNTER, name, help, values)
}

// as is the histogram as one of a family. The text has each bucket with all below it.
func (r RoundTrips) as(f *dto.MetricFamily) *dto.Metric {
	m := sample(0, "network", r.Network, "side", r.Side).as(f)
	h, below := &dto.Histogram{SampleSum: &r.Seconds, SampleCount: new(uint64)}, uint64(0)
	for i, n := range r.Buckets {
		below += n
		if i < len(r.Bounds) {
			h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: &r.Bounds[i], CumulativeCount: pointerTo(below)})
		}
	}
	*h.SampleCount = below
	m.Gauge, m.Histogram = nil, h
	return m
}

func pointerTo(n uint64) *uint64 { return &n }

func family(kind dto.MetricType, name, help string, values []value) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
	for _, v := range values {
		f.Metric = append(f.Metric, v.as(f))
	}
	return f
}
