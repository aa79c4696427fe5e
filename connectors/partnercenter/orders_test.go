package partnercenter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

const buyer = "3b1e0c52-7a44-4f1b-9d2e-6f0a51c8e001"

func quoted(seats int64, term string) connectors.CreateRequest {
	return connectors.CreateRequest{Kind: kindSubscription, Parent: buyer, Key: "quote 7 line 1", Fields: model.Fields{
		fieldSKU: model.Text("CFQ7TTC0LCHC:0002"), fieldTerm: model.Text(term), fieldCycle: model.Text("monthly"),
		"quantity": model.Int(seats), "friendlyName": model.Text("Premium (quote 7/1)")}}
}

// one asserts how many orders there are.
func (w *world) orders(want int) {
	w.t.Helper()
	if got := w.fake.Orders(); len(got) != want {
		w.t.Errorf("%d orders, want %d: %+v", len(got), want, got)
	}
}

func TestAnOrderBecomesASubscription(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	rec, err := w.Create(t.Context(), quoted(5, "P1Y"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"parent": rec.Parent}
	for _, name := range []string{"sku", "quantity", "friendlyName", "termDuration", "billingCycle", "status"} {
		got[name] = rec.Fields[name].String()
	}
	want := map[string]string{"parent": buyer, "sku": "CFQ7TTC0LCHC:0002", "quantity": "5", "friendlyName": "Premium (quote 7/1)", "termDuration": "P1Y", "billingCycle": "monthly", "status": "active"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the subscription (-want +got):\n%s", diff)
	}
	// The same key, and another key for the same name: the order that is there is found.
	for _, key := range []string{"quote 7 line 1", "another"} {
		again := quoted(5, "P1Y")
		again.Key = key
		if second, err := w.Create(t.Context(), again); err != nil || second.ID != rec.ID {
			t.Errorf("again with key %q: %s, %v", key, second.ID, err)
		}
	}
	w.orders(1)
}

// Whatever reply is lost, and however late the order shows, it is placed once, and not said to be missing too early.
func TestAnOrderIsPlacedOnceWhateverIsLost(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"lost_reply", "error_after_commit"} {
		for _, late := range []string{"", "15m"} {
			t.Run(fault+" "+late, func(t *testing.T) {
				t.Parallel()
				w := start(t, setup{})
				w.misbehave(fault, "1")
				if late != "" {
					w.misbehave("late_orders", late)
				}
				began := w.clock.Now()
				_, err := w.Create(t.Context(), quoted(5, "P1Y"))
				if connectors.ClassOf(err) != connectors.ClassUnknown {
					t.Fatalf("the reply was lost: %v", err)
				}
				request := connectors.FindRequest{CreateRequest: quoted(5, "P1Y"), Began: began}
				rec, err := w.Find(t.Context(), request)
				if late != "" {
					if connectors.ClassOf(err) != connectors.ClassTransient {
						t.Fatalf("nothing shows yet: %v", err)
					}
					w.clock.Advance(15 * time.Minute)
					rec, err = w.Find(t.Context(), request)
				}
				if err != nil || rec.Fields["quantity"] != model.Int(5) {
					t.Errorf("found %v, %v", rec.Fields["quantity"], err)
				}
				if _, err := w.Create(t.Context(), quoted(5, "P1Y")); err != nil {
					t.Error(err)
				}
				w.orders(1)
			})
		}
	}
}

// Sent again while nothing shows, an order gets the same cart, and that was checked out.
func TestAnOrderSentAgainTooEarlyIsNotPlacedAgain(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("lost_reply", "1")
	w.misbehave("late_orders", "15m")
	if _, err := w.Create(t.Context(), quoted(5, "P1Y")); connectors.ClassOf(err) != connectors.ClassUnknown {
		t.Fatal(err)
	}
	w.wait = func(ctx context.Context, d time.Duration) error {
		w.clock.Advance(d)
		return ctx.Err()
	}
	rec, err := w.Create(t.Context(), quoted(5, "P1Y"))
	if err != nil || rec.Fields["quantity"] != model.Int(5) {
		t.Errorf("%v, %v", rec.Fields["quantity"], err)
	}
	w.orders(1)
}

func TestAnOrderThatWasNeverPlacedIsMissing(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	request := connectors.FindRequest{CreateRequest: quoted(5, "P1Y"), Began: w.clock.Now()}
	if _, err := w.Find(t.Context(), request); connectors.ClassOf(err) != connectors.ClassTransient || !strings.Contains(err.Error(), "one may until 2031-02-04T10:25:00Z") {
		t.Errorf("at once: %v", err)
	}
	w.clock.Advance(orderSettle)
	if _, err := w.Find(t.Context(), request); connectors.ClassOf(err) != connectors.ClassMissing {
		t.Errorf("later: %v", err)
	}
	w.orders(0)
}

// What the service refuses is refused before anything is bought, with what is wrong; CheckCreate says the same without a cart.
func TestOrdersThatAreRefused(t *testing.T) {
	t.Parallel()
	customer := func(change func(*partnercentertest.Customer)) func(*world) {
		return func(w *world) {
			if err := w.fake.EditCustomer(buyer, change); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	sku := func(k partnercentertest.Product) func(*world) {
		k.ID = "CFQ7TTC0LCHC:0002"
		return func(w *world) { w.fake.SetProduct(k) }
	}
	for name, tt := range map[string]struct {
		arrange func(*world)
		account func(*connectors.Account)
		seats   int64
		term    string
		class   connectors.Class
		says    string
		code    string
		preview string
	}{
		"nothing":                {nil, nil, 5, "P1Y", "", "", "", ""},
		"signed by the customer": {customer(func(c *partnercentertest.Customer) { c.Agreement = "customer" }), nil, 5, "P1Y", "", "", "", ""},
		"no agreement": {customer(func(c *partnercentertest.Customer) { c.Agreement = "nobody" }), nil, 5, "P1Y", connectors.ClassAuth, "13605",
			connectors.CodeAgreement, "the customer has not accepted the Microsoft Customer Agreement"},
		"no contact": {customer(func(c *partnercentertest.Customer) { c.Email = "" }), nil, 5, "P1Y", "", "",
			connectors.CodeContact, "billing profile has no e-mail address"},
		"no such term": {nil, nil, 5, "P3Y", connectors.ClassInvalid, "it is not sold as P3Y monthly; sold as: P1M monthly, P1Y annual, P1Y monthly",
			connectors.CodeUnavailable, "it is not sold as P3Y monthly"},
		"withdrawn": {sku(partnercentertest.Product{Withdrawn: true}), nil, 5, "P1Y", connectors.ClassInvalid, "not sold to this customer in the commercial segment",
			connectors.CodeUnavailable, "not sold to this customer"},
		"too many": {sku(partnercentertest.Product{MaxSeats: 4}), nil, 5, "P1Y", connectors.ClassInvalid, "the product allows no more seats [code 10015]",
			connectors.CodeQuantity, "5 seats are asked for, and the largest number sold is 4"},
		"too few": {sku(partnercentertest.Product{MinSeats: 10}), nil, 5, "P1Y", connectors.ClassInvalid, "code 10010",
			connectors.CodeQuantity, "the smallest number sold is 10"},
		"not in the catalogue": {func(w *world) {
			for _, p := range w.fake.Dump().Prices {
				p.End = w.clock.Now().Add(-time.Hour)
				w.fake.SetPrice(p)
			}
		}, nil, 5, "P1Y", connectors.ClassMissing, "400018", connectors.CodeUnavailable, "not in the customer's catalogue"},
		"an application alone": {nil, func(a *connectors.Account) { delete(a.Secrets, "refresh_token") }, 5, "P1Y", "", "",
			"", "can only be asked by a signed-in partner user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{account: tt.account})
			if tt.arrange != nil {
				tt.arrange(w)
			}
			err := w.CheckCreate(t.Context(), quoted(tt.seats, tt.term))
			e, refused := errors.AsType[*connectors.Error](err)
			if refused != (tt.preview != "") || refused && (e.Code != tt.code || !strings.Contains(e.Message, tt.preview) || e.Hint == "") {
				t.Errorf("asked before: %v, want %q: %s", err, tt.code, tt.preview)
			}
			w.orders(0)
			if _, err = w.Create(t.Context(), quoted(tt.seats, tt.term)); connectors.ClassOf(err) != tt.class || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("create: %s, %v; want %s, %q", connectors.ClassOf(err), err, tt.class, tt.says)
			}
			w.orders(map[bool]int{true: 1, false: 0}[tt.class == ""])
		})
	}
}

// An indirect provider orders for its reseller, and only when it attests to that.
func TestAProviderAttestsTheReseller(t *testing.T) {
	t.Parallel()
	for _, attest := range []string{attestationMissing, attestationGiven} {
		w := start(t, setup{options: partnercentertest.Options{AccountType: partnercentertest.IndirectProvider}, account: func(a *connectors.Account) {
			a.Settings["reseller"], a.Settings["partner_attestation"] = "5550017", attest
		}})
		rec, err := w.Create(t.Context(), quoted(5, "P1Y"))
		asked := w.CheckCreate(t.Context(), quoted(5, "P1Y"))
		if attest == attestationGiven {
			if err != nil || asked != nil || rec.Fields["partnerId"].String() != "5550017" {
				t.Errorf("attested: %v, %v, partner %s", err, asked, rec.Fields["partnerId"])
			}
			continue
		}
		for _, got := range []error{err, asked} {
			if got == nil || !strings.Contains(got.Error(), "set partner_attestation: accepted") {
				t.Errorf("not attested: %v", got)
			}
		}
		w.orders(0)
	}
}

func TestOrderCodesSayWhatToDo(t *testing.T) {
	t.Parallel()
	for code, m := range orderCodes {
		if m.class == "" || m.message == "" || m.hint == "" {
			t.Errorf("code %s: %+v", code, m)
		}
		if _, twice := codes[code]; twice {
			t.Errorf("code %s has two meanings", code)
		}
	}
}
