// Package disaster holds no code, only a library of bad days: each file in testdata/scenarios is one disaster that has happened to somebody,
// played against the real engine with a real store between two systems in memory.
//
// A scenario is YAML that a support person can read and write. It starts in the world of testdata/world/msp.yaml, three customers in step
// after a first run (without one where it says first_run: false):
//
//	name: the last page of the vendor is not delivered
//	incident: "a client of a PSA computed one page and returned 100 of 717 records: github.com/homotechsual/HaloAPI/issues/90 (1)"
//	flow: {run_share: 10}          # what differs from the usual flow; the function set in play_test.go lists the keys
//	before:                        # steps before the first run
//	  - {edit: vendor subscription s-kea, set: {quantity: 15}}
//	wrong:                         # what goes wrong, and the runs in the middle of it
//	  - {fault: vendor drop_last_page}
//	  - {run: sweep}
//	state: partial                 # of the last run
//	says: "nothing was lowered"    # what a person reads in a reason, a finding or a held change, in any of these runs
//	writes: 0                      # how often a write was tried meanwhile; 0 when left out
//	after:                         # the fault is mended
//	  - {behave: vendor drop_last_page}
//	settles: completed             # within two runs; a third must find nothing to do. Left out: completed
//	final: {vendor s-kea: 15}      # seats that are not what they were after the first run; "gone" for a record that was removed
//
// The steps are edit, add, remove, fault, behave, clock, store, flow, mapping, approve and run; scenario_test.go lists their keys. An unknown key is
// refused, and so is a scenario without an incident or a sentence.
//
// What holds in each, whether it says so or not: while things are wrong no write that lowers seats, ends a line or takes an id off a record
// is even tried on either side; no link is forgotten; afterwards it settles, and every seat that the scenario does not name is as it was.
//
// docs/disasters.md is made from the files: go generate writes it.
package disaster
