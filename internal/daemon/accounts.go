package daemon

import (
	"fmt"
	"time"
)

// AccountHealth is the last good read of an account: as old as the oldest of its kinds, because what is read together is compared together.
type AccountHealth struct {
	Account  string    `json:"account"`
	Complete time.Time `json:"last_good_read,omitzero"` // when all of it had been read completely; zero while a kind never was
	Kind     string    `json:"oldest_kind"`             // the kind that was read completely the longest ago, or never
	Missing  []string  `json:"missing"`                 // what was not read the last time, in sentences; empty when nothing is
}

// Accounts sums up the kinds of each account, in the order in which accounts come first.
func Accounts(reads []ReadHealth) []AccountHealth {
	accounts := []AccountHealth{}
	at := map[string]int{}
	for _, r := range reads {
		i, known := at[r.Account]
		if !known {
			i = len(accounts)
			at[r.Account] = i
			accounts = append(accounts, AccountHealth{Account: r.Account, Complete: r.Complete, Kind: r.Kind, Missing: []string{}})
		}
		a := &accounts[i]
		if r.Complete.Before(a.Complete) {
			a.Complete, a.Kind = r.Complete, r.Kind
		}
		switch {
		case r.Gaps > 0:
			a.Missing = append(a.Missing, r.Kind+r.why())
		case r.Complete.IsZero():
			a.Missing = append(a.Missing, fmt.Sprintf("%s was never read completely", r.Kind))
		}
	}
	return accounts
}
