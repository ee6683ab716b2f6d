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

func family(kind dto.MetricType, name, help string, values []value) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
	for _, v := range values {
		f.Metric = append(f.Metric, v.as(f))
	}
	return f
}
