package config

import (
	"strconv"
	"strings"

	"github.com/trueup-sync/trueup/internal/strictyaml"
)

// readUnused reads "unused: {after: 30 days}"; 0 when it is not there.
func readUnused(m *strictyaml.Map) (days int) {
	after := m.Get("after")
	if after.Present() {
		number, unit, _ := strings.Cut(strings.TrimSpace(after.Text()), " ")
		n, err := strconv.Atoi(number)
		switch {
		case !after.IsScalar():
		case err != nil || n < 1 || n > 365 || unit != "days" && unit != "day":
			after.Complain("write days from 1 to 365, like 30 days", "%q is no number of days", after.Text())
		default:
			days = n
		}
	}
	m.Close()
	return days
}
