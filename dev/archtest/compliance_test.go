package archtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const compliance = "docs/rfc-compliance.md"

// openRequirements is what is still to be done. A row that is cured must leave
// this list, and one that is not may not be missing here.
var openRequirements = []string{}

// requirement is a row of the page.
type requirement struct {
	rfc, id, level string
	answer, reason string   // yes, by choice, no, open; and why
	tests          []string // TestX or TestX/sub
}

func (r requirement) String() string { return r.rfc + " " + r.id }

// must reports whether the RFC leaves no choice.
func (r requirement) must() bool { return r.level == "M" || r.level == "MN" }

func requirements(t *testing.T) []requirement {
	t.Helper()
	var list []requirement
	rfc := ""
	heading := regexp.MustCompile(`^## (RFC \d+)`)
	for i, line := range strings.Split(read(t, compliance), "\n") {
		if m := heading.FindStringSubmatch(line); m != nil {
			rfc = m[1]
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| requirement ") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 5 {
			t.Errorf("%s:%d: %d columns, want 5", compliance, i+1, len(cells))
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		r := requirement{rfc: rfc, id: cells[0], level: cells[1]}
		r.answer, r.reason, _ = strings.Cut(cells[3], ": ")
		for _, m := range quoted.FindAllStringSubmatch(cells[4], -1) {
			r.tests = append(r.tests, m[1])
		}
		list = append(list, r)
	}
	return list
}

// TestCompliancePageIsHonest checks that every answer is one, with a test that
// exists or a reason.
func TestCompliancePageIsHonest(t *testing.T) {
	t.Parallel()
	tests := testFunctions(t)
	counts := make(map[string]int)
	var open []string
	seen := make(map[string]bool)
	for _, r := range requirements(t) {
		counts[r.answer]++
		if seen[r.String()] {
			t.Errorf("%v has two rows", r)
		}
		seen[r.String()] = true
		if problem := r.check(tests); problem != "" {
			t.Errorf("%v: %s", r, problem)
		}
		if r.answer == "open" {
			open = append(open, r.String())
		}
	}
	slices.Sort(open)
	want := slices.Sorted(slices.Values(openRequirements))
	if diff := cmp.Diff(want, open); diff != "" {
		t.Errorf("open rows of %s (-listed here +on the page):\n%s", compliance, diff)
	}
	t.Logf("%v", counts)
}

func (r requirement) check(tests map[string]string) string {
	if !slices.Contains([]string{"M", "MN", "S", "SN", "R", "MAY"}, r.level) {
		return fmt.Sprintf("level %q is not known", r.level)
	}
	switch r.answer {
	case "yes":
		if len(r.tests) == 0 {
			return "yes needs a test"
		}
	case "by choice", "no", "open":
		if r.reason == "" {
			return r.answer + " needs a reason"
		}
	default:
		return fmt.Sprintf("%q is no answer", r.answer)
	}
	strict := slices.Contains([]string{"RFC 4787", "RFC 5382", "RFC 5508"}, r.rfc)
	// Basic NAT, which RFC 5508 REQ-7a is about, is another kind of NAT.
	if strict && r.must() && r.answer != "yes" && r.answer != "open" && r.String() != "RFC 5508 REQ-7a" {
		return "a MUST that is not kept"
	}
	for _, name := range r.tests {
		function, sub, _ := strings.Cut(name, "/")
		text, known := tests[function]
		if !known {
			return name + " does not exist"
		}
		if sub != "" && !strings.Contains(text, sub) && !exists("test/testdata/script/"+sub+".txtar") {
			return fmt.Sprintf("the file of %s does not say %q, and there is no such script", function, sub)
		}
	}
	return ""
}

// testFunctions returns the file of each test by its name.
func testFunctions(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, name := range files(t, "_test.go") {
		text := read(t, name)
		for _, m := range function.FindAllStringSubmatch(text, -1) {
			found[m[1]] = text
		}
	}
	return found
}

// TestCompliancePageIsComplete: no requirement of the three was left out.
func TestCompliancePageIsComplete(t *testing.T) {
	t.Parallel()
	have := make(map[string]bool)
	for _, r := range requirements(t) {
		have[r.String()] = true
	}
	letters := map[string]string{ // the last of a requirement's sub-requirements
		"RFC 4787 REQ-3": "a", "RFC 4787 REQ-5": "c", "RFC 4787 REQ-6": "a", "RFC 4787 REQ-9": "a", "RFC 4787 REQ-10": "a",
		"RFC 4787 REQ-12": "b", "RFC 4787 REQ-13": "a", "RFC 4787 REQ-14": "a",
		"RFC 5382 REQ-2": "a", "RFC 5382 REQ-3": "b", "RFC 5382 REQ-5": "a", "RFC 5382 REQ-8": "a",
		"RFC 5508 REQ-1": "a", "RFC 5508 REQ-2": "a", "RFC 5508 REQ-3": "d", "RFC 5508 REQ-7": "a",
	}
	for rfc, last := range map[string]int{"RFC 4787": 14, "RFC 5382": 10, "RFC 5508": 11} {
		for i := range last {
			id := fmt.Sprintf("%s REQ-%d", rfc, i+1)
			want := []string{id}
			if end := letters[id]; end != "" {
				for letter := byte('a'); letter <= end[0]; letter++ {
					want = append(want, id+string(letter))
				}
			}
			for _, w := range want {
				if !have[w] {
					t.Errorf("%s has no row for %s", compliance, w)
				}
			}
		}
	}
}
