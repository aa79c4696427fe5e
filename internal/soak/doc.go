// Package soak holds no code, only tests that live through random histories: people edit both sides, replies are lost, systems refuse,
// limit, repeat and leave out, and trueup is killed. What must hold whatever happens is checked against what the two systems hold, never
// against what trueup says of itself:
//
//   - Nothing twice: no value is written to a field of a record twice, nothing is created twice, and one intent has one effect at most.
//   - Nothing invented: a number of seats that trueup writes was typed by a person on the other side, and a line ends only because its
//     subscription ended.
//   - Nothing lost: an edit that nobody opposed on the other side stands on both in the end, or is held or reported by name.
//   - It settles: once the systems behave, two runs at most change anything, and the third plans and writes nothing.
//
// A history is data (history_test.go), so that one that fails can be printed, made smaller and kept (kept_test.go). play_test.go lives
// through it with the real engine and a real store between two worlds of connectors/memory; oracle_test.go is the judge.
//
// People type each number once. A number that is typed again after trueup had written it and before it had seen the reply cannot be told
// from a write that never arrived, in systems that keep neither versions nor authors; docs/soak.md says what happens then.
package soak
