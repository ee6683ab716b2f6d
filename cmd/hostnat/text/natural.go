package text

import (
	"cmp"
	"strconv"
	"strings"
)

// amounts are what units stand for, as Bytes and Seconds write them.
var amounts = map[string]float64{
	" B": 1, " KiB": 1 << 10, " MiB": 1 << 20, " GiB": 1 << 30, " TiB": 1 << 40, " PiB": 1 << 50, " EiB": 1 << 60,
	"s": 1, "m": 60, "h": 3600, "d": 86400,
}

// Natural compares two cells of a table as a person would order them: amounts by what
// they come to, and in other texts each number in them by its value, so that
// 172.16.1.9 goes before 172.16.1.10.
func Natural(a, b string) int {
	x, isAmount := amount(a)
	y, isToo := amount(b)
	if isAmount && isToo {
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	}
	for a != "" && b != "" {
		p, restA := part(a)
		q, restB := part(b)
		m, errM := strconv.ParseUint(p, 10, 64)
		n, errN := strconv.ParseUint(q, 10, 64)
		order := cmp.Compare(p, q)
		if errM == nil && errN == nil {
			order = cmp.Compare(m, n)
		}
		if order != 0 {
			return order
		}
		a, b = restA, restB
	}
	return cmp.Compare(len(a), len(b))
}

// part cuts a text after its first number, or before it.
func part(s string) (first, rest string) {
	isDigit := func(r rune) bool { return r >= '0' && r <= '9' }
	end := strings.IndexFunc(s, func(r rune) bool { return isDigit(r) != isDigit(rune(s[0])) })
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// amount reads "1.5 MiB", "2h4m" or a number.
func amount(s string) (sum float64, ok bool) {
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end < 0 {
			end = len(s)
		}
		n, err := strconv.ParseFloat(s[:end], 64)
		if err != nil {
			return 0, false
		}
		s = s[end:]
		unit := s
		if next := strings.IndexAny(s, "0123456789"); next >= 0 {
			unit = s[:next]
		}
		s = s[len(unit):]
		factor, known := amounts[unit]
		if unit == "" {
			factor, known = 1, true
		}
		if !known {
			return 0, false
		}
		sum += n * factor
	}
	return sum, true
}
