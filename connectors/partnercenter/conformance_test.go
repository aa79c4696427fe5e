package partnercenter

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectortest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

// TestConformance runs the suite for a direct partner, and for a provider's view of one reseller.
func TestConformance(t *testing.T) {
	for _, accountType := range []string{partnercentertest.Direct, partnercentertest.IndirectProvider} {
		t.Run(accountType, func(t *testing.T) { connectortest.Run(t, subject(accountType)) })
	}
}

func subject(accountType string) connectortest.Subject {
	return connectortest.Subject{
		KeysRemembered: true,
		// A conflict is another operation under way, usually a renewal: the same change works later.
		Statuses: map[int][]connectors.Class{http.StatusConflict: {connectors.ClassTransient}},
		Skips: map[string]string{
			connectortest.CapPages: "smaller pages are followed by their links; pages that end early are TestPagesThatEndEarlyAreDoubted",
		},
		New: func(t testing.TB, log *zap.Logger) connectortest.Instance {
			now := newClock()
			fake := partnercentertest.New(partnercentertest.Options{Now: now.Now, PageSize: 2, AccountType: accountType, TokenLife: 1000 * time.Hour})
			var reseller partnercentertest.Reseller
			if accountType == partnercentertest.IndirectProvider {
				reseller = fake.AddReseller(partnercentertest.Reseller{Name: "Tasman IT", MPNID: "5550017"})
				other := fake.AddReseller(partnercentertest.Reseller{Name: "Cook Computing", MPNID: "5550018"})
				stranger := fake.AddCustomer(partnercentertest.Customer{Name: "Of another reseller", AssociatedPartner: other.ID})
				fake.AddSubscription(partnercentertest.Subscription{Customer: stranger.ID, Quantity: 1, PartnerID: other.MPNID})
			}
			var ids []string
			for i := range 5 {
				c := fake.AddCustomer(partnercentertest.Customer{
					Name: fmt.Sprintf("Customer %d", i), AssociatedPartner: cmp.Or(reseller.ID, "5e110000-0000-4000-8000-00000000000f"),
					Email: "it@customer.example", Registration: "12-34", CustomDomains: []string{"customer.example"},
					Address: partnercentertest.Address{Line1: "1 Road", Line2: "Floor 2", City: "Nelson", Region: "NN", PostalCode: "07010", Country: "NZ", Phone: "5550101"},
				})
				if err := fake.EditBilling(c.ID, func(b *partnercentertest.Billing) { b.FirstName, b.LastName = "Ana", "Rewi" }); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, c.ID)
			}
			add := func(id, customer string) connectors.Ref {
				sub := fake.AddSubscription(partnercentertest.Subscription{ID: id, Customer: customer, Quantity: 14, MaxSeats: 300, AutoRenew: true, PartnerID: reseller.MPNID})
				return connectors.Ref{Kind: kindSubscription, ID: sub.ID, Parent: customer}
			}
			var refs []connectors.Ref
			for _, customer := range ids[:4] {
				for range 2 {
					refs = append(refs, add("", customer))
				}
			}
			fake.SamplePrices()

			// The activity log repeats itself until an order must have become visible: each look is 21 minutes later.
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/auditrecords") && !r.URL.Query().Has("seekOperation") {
					now.Advance(21 * time.Minute)
				}
				fake.Handler().ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			wire := connectortest.NewWire(http.DefaultTransport.(*http.Transport).Clone(), func(r *http.Request) bool {
				// Validating an address is a POST that changes nothing, so it is no write that could be lost.
				return !strings.HasPrefix(r.URL.Path, "/sign-in/") && !strings.HasPrefix(r.URL.Path, "/api/v1/validations/")
			})
			t.Cleanup(wire.Close)
			settings := fake.Settings(server.URL)
			settings["reseller"], settings["partner_attestation"] = reseller.MPNID, attestationGiven
			settings["assigned"] = assignedRead
			account := connectors.Account{Name: "microsoft", Settings: settings, Budget: connectors.Budget{PerMinute: 60000}, Secrets: fake.Secrets(), Vault: &vault{},
				HTTP: wire.Client(), Log: log, Now: now.Now, Location: time.UTC}
			connect := func() *Connector {
				c, err := build(account, -1) // repeating is the business of connectors/internal/rest
				if err != nil {
					t.Fatal(err)
				}
				c.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
				return c
			}
			toggle := func(name, value string) func(bool) {
				return func(on bool) {
					if !on {
						fake.Behave(name)
					} else if err := fake.Misbehave(name, value); err != nil {
						t.Error(err)
					}
				}
			}
			faults := wire.Faults()
			faults[connectortest.DropLastPage] = toggle("drop_last_page", "")
			faults[connectortest.EmptyList] = toggle("empty_list", "customers")
			faults[connectortest.PartialList] = toggle("forbid_customer", ids[0])
			faults[connectortest.FaultIn200] = toggle("fault_in_200", "")
			// A cart alters nothing: what is lost is the reply to what buys or changes something.
			faults[connectortest.LostReply] = toggle("lost_reply", "")
			faults[connectortest.ErrorAfterCommit] = toggle("error_after_commit", "")
			c := connect()
			return connectortest.Instance{
				Connector: c, Again: func() connectors.Connector { return connect() }, Requests: wire.Requests, Faults: faults,
				Answer: func(status int, writesOnly bool) {
					wire.Answer(status, writesOnly)
					if status == 0 {
						c.connect(60000, -1) // as if the ten minutes after a 429 were over
					}
				},
				Secrets: []string{"invented-client-secret", "invented-refresh-token"},
				Effects: func() (n int) {
					for _, a := range fake.Dump().Audit {
						if slices.Contains([]string{"update_subscription", "update_customer_billing_profile", "add_customer", "create_order"}, a.Operation) && a.Status == "succeeded" && a.User == "service@tasmancloud.example" {
							n++
						}
					}
					return n
				},
				Kinds: map[string]connectortest.Kind{
					kindCustomer: {
						Ref:     connectors.Ref{Kind: kindCustomer, ID: ids[0]},
						Missing: connectors.Ref{Kind: kindCustomer, ID: "00000000-0000-4000-8000-000000000000"},
						Count: func() int {
							return len(slices.DeleteFunc(fake.Dump().Customers, func(c partnercentertest.Customer) bool { return c.Name == "Of another reseller" }))
						},
						EditField: "billingProfile.email", Next: map[string]model.Value{addressField + "addressLine1": model.Text("2 Road")},
						Edit: func(ref connectors.Ref, v model.Value) {
							if err := fake.EditBilling(ref.ID, func(b *partnercentertest.Billing) { b.Email = v.String() }); err != nil {
								t.Error(err)
							}
						},
						Create: func() connectors.CreateRequest {
							fields := model.Fields{}
							for name, value := range map[string]string{domainField: "keadental.onmicrosoft.com", "companyName": "Kea Dental", "email": "it@kea.example", "defaultAddress.firstName": "Ana",
								"defaultAddress.lastName": "Rewi", "defaultAddress.addressLine1": "4 Quay Road", "defaultAddress.city": "Nelson", "defaultAddress.country": "NZ", "culture": "en-NZ"} {
								if name != domainField {
									name = billingProfile + name
								}
								fields[name] = model.Text(value)
							}
							return connectors.CreateRequest{Kind: kindCustomer, Fields: fields}
						},
						Add: func() connectors.Ref {
							c := fake.AddCustomer(partnercentertest.Customer{Name: "New", AssociatedPartner: reseller.ID})
							return connectors.Ref{Kind: kindCustomer, ID: c.ID}
						},
					},
					kindSubscription: {
						Ref:     refs[0],
						Missing: connectors.Ref{Kind: kindSubscription, ID: "00000000-0000-4000-8000-000000000000", Parent: ids[0]},
						Count:   func() int { return len(refs) },
						Add:     func() connectors.Ref { return add("", ids[1]) },
						Next:    map[string]model.Value{nextProduct: model.Text("CFQ7TTC0LCHC:0002 P1Y annual")},
						Create: func() connectors.CreateRequest {
							return connectors.CreateRequest{Kind: kindSubscription, Parent: ids[1], Fields: model.Fields{fieldSKU: model.Text("CFQ7TTC0LCHC:0002"),
								fieldTerm: model.Text("P1Y"), fieldCycle: model.Text("monthly"), "quantity": model.Int(3), "friendlyName": model.Text("Premium (quote 7/1)")}}
						},
						EditField: "quantity",
						Edit: func(ref connectors.Ref, v model.Value) {
							q, _ := v.Quantity()
							if err := fake.EditQuantity(ref.ID, int(q.Int())); err != nil {
								t.Error(err)
							}
						},
					},
					kindPrice: {Count: func() int { return len(fake.Dump().Prices) }},
				},
			}
		},
	}
}
