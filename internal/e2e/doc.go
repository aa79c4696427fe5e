// Package e2e holds no code, only tests of the whole engine: the configuration and the shipped mappings, both real
// connectors, their HTTP, and the two stand-ins of Partner Center and ConnectWise PSA. What is asserted is what the
// stand-ins hold afterwards and what was sent to them, never what trueup says of itself alone.
//
//   - truth_test.go: a sandbox's awkward world against its ground truth, on loopback: what is planned, what is written,
//     what is left alone, and that a lost store is found again.
//   - trouble_test.go: every misbehaviour of both stand-ins, while half of what is bought changes. Nothing is lowered or
//     ended because of a bad read, and two good runs later every change was made exactly once.
//   - edits_test.go: edits on either side and on both, undisturbed, with lost replies, and killed between intent and reply.
//   - bodies_test.go: what travels, member by member.
//   - guards_test.go, idle_test.go, reseller_test.go: the brakes, a day and a half of nothing to do, and the reseller of an
//     indirect provider.
//
// Most tests live in an office: a small world of their own, served over pipes in memory, in a synctest bubble. There it
// costs nothing to wait for a Retry-After, for a slow answer or for the next day, and no test waits for another's clock.
package e2e
