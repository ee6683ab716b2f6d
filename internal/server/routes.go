package server

import "slices"

// routes lists every operation there is.
func routes() []route {
	return slices.Concat(statusRoutes(), doctorRoutes(), natRoutes(), addressRoutes(), networkRoutes(), endpointRoutes(), tapRoutes(),
		leaseRoutes(), reservationRoutes(), poolRoutes(), mappingRoutes(), proxyRoutes(), configurationRoutes(), sessionRoutes(), portRoutes(), explainRoutes(), historyRoutes(), trafficRoutes(), metricsRoutes(), webRoutes(), eventRoutes(), captureRoutes())
}

// each converts a list.
func each[From, To any](list []From, convert func(From) To) []To {
	out := make([]To, len(list))
	for i, v := range list {
		out[i] = convert(v)
	}
	return out
}

// eachOf is each for what an operation returned.
func eachOf[From, To any](list []From, err error, convert func(From) To) ([]To, error) {
	return each(list, convert), err
}

// texts are the texts of values; nil if there are none.
func texts[T interface{ String() string }](list []T) []string {
	if len(list) == 0 {
		return nil
	}
	return each(list, T.String)
}
