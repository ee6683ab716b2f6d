package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/rerun"
	"github.com/hostnat/hostnat/internal/host/replica"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// Snapshot writes what the host looks like, what the tables hold, and what the data path
// was told. Packets go on meanwhile, and changes do: with one of these it fails.
func (k *Kernel) Snapshot(ctx context.Context, write func(recording.Line) error) (ready recording.Ready, err error) {
	host, err := replica.Read(ctx)
	if err != nil {
		return ready, err
	}
	if err := write(recording.Line{Host: &host}); err != nil {
		return ready, err
	}
	if ready.Told, err = k.Told(); err != nil {
		return ready, err
	}
	err = rerun.Read(k.datapath.Objects(), func(rows recording.Rows) error {
		return errors.Join(ctx.Err(), write(recording.Line{Rows: &rows}))
	})
	if err != nil {
		return ready, err
	}
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail on Linux
	ready.Time, ready.Monotonic = time.Now(), time.Duration(ts.Nano())
	told, err := k.Told()
	if err == nil && !bytes.Equal(told, ready.Told) {
		err = model.Errorf(model.Conflict, "the configuration was changed while the tables were read").WithHint("record again")
	}
	if err != nil {
		return ready, err
	}
	return ready, write(recording.Line{Ready: &ready})
}

var errNotKnown = model.Errorf(model.Unavailable, "the data path is being set up just now").WithHint("try again in some seconds")

// Told is what the data path was told last, as Snapshot writes it.
func (k *Kernel) Told() (told json.RawMessage, err error) {
	err = k.datapath.Hold(func(c datapath.Config, known bool) error {
		if !known {
			return errNotKnown
		}
		told, err = rerun.WriteTold(c)
		return err
	})
	return told, err
}
