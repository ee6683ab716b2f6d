package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/hostnat/hostnat/api"
)

// keepSupervisor tells systemd, if that has started us, that the daemon is ready,
// and from then on that it is alive: that it answers at its own socket. One that
// does not is killed and started again, which flows do not notice.
func keepSupervisor(ctx context.Context, socket string, log *slog.Logger) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("tell systemd that the daemon is ready: %w", err)
	}
	defer func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) }()
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read systemd's watchdog interval: %w", err)
	}
	if interval == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		if err := answers(ctx, socket, interval/4); err == nil {
			_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			log.Error("the daemon does not answer itself", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval / 4):
		}
	}
}

// answers asks the daemon as a client does.
func answers(ctx context.Context, socket string, limit time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	_, err := api.NewClient(socket).Status(ctx)
	return err
}
