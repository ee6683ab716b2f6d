package bench

func (b *Bench) longMeasurements() []measurement { return nil }
