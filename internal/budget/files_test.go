package budget

import "testing"

// A part is left for what is nobody's client, whatever the limit.
func TestFilesOf(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{64, 1024, 20000, 1 << 20} {
		f := FilesOf(limit)
		if left := limit - f.Proxies - f.Names - f.API; left < limit/4 {
			t.Errorf("of %d, %d are left: %+v", limit, left, f)
		}
		if f.Proxies <= 0 || f.Names <= 0 || f.API <= 0 {
			t.Errorf("of %d: %+v", limit, f)
		}
	}
	if f, err := FilesOfProcess(); err != nil || f.Proxies <= 0 || f.Proxies > mostFiles {
		t.Errorf("%+v, %v", f, err)
	}
}
