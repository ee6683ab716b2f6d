package self

import (
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
	"golang.org/x/sys/unix"
)

func TestPrivileges(t *testing.T) {
	t.Parallel()
	hosttest.WantRefusal(t, missingPrivileges(0), model.Denied, "CAP_NET_ADMIN and CAP_SYS_ADMIN")
	hosttest.WantRefusal(t, missingPrivileges(1<<unix.CAP_NET_ADMIN), model.Denied, "lacks CAP_SYS_ADMIN")
	lab.RequireRoot(t)
	hosttest.Must(t, CheckPrivileges())
}
