package partnercenter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2031, time.February, 4, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// vault keeps secrets in memory, or refuses to.
type vault struct {
	mu     sync.Mutex
	kept   map[string]connectors.Secret
	broken bool
}

func (v *vault) Get(_ context.Context, name string) (connectors.Secret, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.kept[name]
	return s, ok, nil
}

func (v *vault) Put(_ context.Context, name string, s connectors.Secret) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.broken {
		return errors.New("the disk is full")
	}
	if v.kept == nil {
		v.kept = map[string]connectors.Secret{}
	}
	v.kept[name] = s
	return nil
}

// world is a connector and its fake.
type world struct {
	*Connector
	t     *testing.T
	fake  *partnercentertest.Server
	clock *clock
	waits []time.Duration
}

type setup struct {
	options partnercentertest.Options
	account func(*connectors.Account)
	retries int // 0: none
	empty   bool
}

func start(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	s.options.Now = w.clock.Now
	w.fake = partnercentertest.New(s.options)
	if !s.empty {
		w.fake.Sample()
	}
	account := partnercentertest.Start(t, w.fake)
	account.Budget.PerMinute = 60000
	if s.account != nil {
		s.account(&account)
	}
	if s.retries == 0 {
		s.retries = -1
	}
	c, err := build(account, s.retries)
	if err != nil {
		t.Fatal(err)
	}
	c.wait = func(ctx context.Context, d time.Duration) error {
		w.waits = append(w.waits, d)
		return ctx.Err()
	}
	w.Connector = c
	return w
}

func (w *world) misbehave(name, value string) {
	w.t.Helper()
	if err := w.fake.Misbehave(name, value); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) list(kind string, parents ...string) ([]connectors.Record, connectors.Listing, error) {
	var found []connectors.Record
	listing, err := w.List(w.t.Context(), connectors.ListRequest{Kind: kind, Parents: parents}, func(r connectors.Record) error {
		found = append(found, r)
		return nil
	})
	return found, listing, err
}

const (
	harbour = "3b1e0c52-7a44-4f1b-9d2e-6f0a51c8e001"
	kea     = "4c2f1d63-8b55-4a2c-8e3f-7a1b62d9f002"
	yearly  = "a7c20f6e-55d1-4a55-b5c4-90b7d7b10a01"
)

var yearlyRef = connectors.Ref{Kind: kindSubscription, ID: yearly, Parent: harbour}

func seats(from, to int64) map[string]connectors.Edit {
	return map[string]connectors.Edit{"quantity": {From: model.Int(from), To: model.Int(to)}}
}

func (w *world) change(edits map[string]connectors.Edit, key string) (connectors.Record, error) {
	return w.Change(w.t.Context(), connectors.ChangeRequest{Ref: yearlyRef, Edits: edits, Key: key})
}

func (w *world) really() partnercentertest.Subscription {
	w.t.Helper()
	for _, sub := range w.fake.Subscriptions(harbour) {
		if sub.ID == yearly {
			return sub
		}
	}
	w.t.Fatal("the yearly subscription is gone")
	return partnercentertest.Subscription{}
}

func (w *world) patches() (n int) {
	for _, r := range w.fake.Requests() {
		if r.Method == "PATCH" {
			n++
		}
	}
	return n
}

// wants checks an error's class and words.
func wants(t *testing.T, err error, class connectors.Class, words ...string) {
	t.Helper()
	var e *connectors.Error
	if !errors.As(err, &e) || e.Class != class {
		t.Fatalf("got class %q (%v), want %q", connectors.ClassOf(err), err, class)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}

func show(fields model.Fields) map[string]string {
	shown := map[string]string{}
	for name, v := range fields {
		shown[name] = v.String()
	}
	return shown
}

func TestSubscriptionFields(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	if err := w.fake.Edit(yearly, func(s *partnercentertest.Subscription) {
		s.Next = &partnercentertest.NextTerm{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", AvailabilityID: "X", BillingCycle: "annual", Term: "P3Y", Quantity: 11, CustomTermEnd: "2032-12-31T00:00:00Z"}
	}); err != nil {
		t.Fatal(err)
	}
	rec, err := w.Read(t.Context(), yearlyRef)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"id": yearly, "offerId": "CFQ7TTC0LCHC:0002:CFQ7TTC0TRUE", "sku": "CFQ7TTC0LCHC:0002", "offerName": "Microsoft 365 Business Premium",
		"friendlyName": "M365 BP front desk", "productType.id": "OnlineServicesNCE", "quantity": "14", "unitType": "Licenses", "parentSubscriptionId": "",
		"creationDate": "2030-12-06T10:00:00Z", "effectiveStartDate": "2030-12-06", "commitmentEndDate": "2031-12-05", "cancellationAllowedUntilDate": "",
		"status": "active", "autoRenewEnabled": "true", "isTrial": "false", "billingType": "license", "billingCycle": "monthly", "termEndAction": "renew", "termDuration": "P1Y",
		"refundOptions": "", "refundableQuantity.totalQuantity": "4", "refundable": "4 until 2031-02-09T10:00:00Z",
		"scheduledNextTermInstructions.product.productId": "CFQ7TTC0LCHC", "scheduledNextTermInstructions.product.skuId": "0002",
		"scheduledNextTermInstructions.product.billingCycle": "annual", "scheduledNextTermInstructions.product.termDuration": "P3Y",
		"scheduledNextTermInstructions.product.promotionId": "", "scheduledNextTermInstructions.quantity": "11", "scheduledNextTermInstructions.customTermEndDate": "2032-12-31",
		"nextProduct": "CFQ7TTC0LCHC:0002 P3Y annual", "minimumQuantity": "1", "maximumQuantity": "300",
		"promotionId": "", "partnerId": "", "hasPurchasableAddons": "false", "suspensionReasons": "", "actions": "", "orderId": rec.Fields["orderId"].String(),
	}
	if diff := cmp.Diff(want, show(rec.Fields)); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestCustomerIsShortInListsAndWholeWhenRead(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("guid_case", "")
	found, listing, err := w.list(kindCustomer)
	if err != nil || !listing.Complete() || len(found) != 5 {
		t.Fatalf("%d customers, %+v, %v", len(found), listing, err)
	}
	want := map[string]string{
		"id": harbour, "companyProfile.companyName": "Harbour Dental", "companyProfile.domain": "harbourdental.onmicrosoft.com",
		"companyProfile.tenantId": harbour, "relationshipToPartner": "reseller", "domains": "harbourdental.onmicrosoft.com",
	}
	if diff := cmp.Diff(want, show(found[0].Fields)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	rec, err := w.Read(t.Context(), connectors.Ref{Kind: kindCustomer, ID: harbour})
	if err != nil {
		t.Fatal(err)
	}
	got := show(rec.Fields)
	for name, want := range map[string]string{
		"domains": "harbourdental.onmicrosoft.com", "customDomains": "harbourdental.example\nharbourdental.onmicrosoft.com", "billingProfile.email": "ap@harbourdental.example",
		"billingProfile.defaultAddress.postalCode": "07010", "companyProfile.address.city": "Nelson",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, delivered := rec.Fields["companyProfile.address.region"]; delivered {
		t.Error("a region that was not delivered is called known")
	}
}

func TestUnknownStatusIsKept(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("unknown_status", "dreaming")
	found, listing, err := w.list(kindSubscription, harbour)
	if err != nil || !listing.Complete() || found[0].Fields["status"] != model.Text("dreaming") {
		t.Errorf("%v, %+v, %v", found, listing, err)
	}
	_, err = w.change(seats(14, 15), "k")
	wants(t, err, connectors.ClassInvalid, `"dreaming"`)
}

func TestListingSurvivesByteOrderMarks(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("bom", "")
	found, listing, err := w.list(kindSubscription)
	if err != nil || !listing.Complete() || len(found) != 7 {
		t.Errorf("%d subscriptions, %+v, %v", len(found), listing, err)
	}
}

func TestNoCustomersIsNotAnEmptyWorld(t *testing.T) {
	t.Parallel()
	w := start(t, setup{empty: true})
	for _, kind := range []string{kindCustomer, kindSubscription} {
		_, listing, err := w.list(kind)
		if err != nil || len(listing.Gaps) != 1 || listing.Gaps[0].Class != connectors.ClassAuth || listing.Gaps[0].Parent != "" {
			t.Errorf("%s: %+v, %v", kind, listing, err)
		}
	}
}

func TestPagesThatEndEarlyAreDoubted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		customers, pageSize int
		fault, value        string
		gaps                int
		fails               bool
	}{
		"all pages":            {customers: 6, pageSize: 2},
		"last page dropped":    {customers: 5, pageSize: 2, fault: "drop_last_page", gaps: 1},
		"capped after one":     {customers: 501, fault: "cap_pages", value: "1", gaps: 1},
		"announced, not there": {customers: 3, fault: "lost_items", gaps: 1},
		"same page again":      {customers: 3, pageSize: 2, fault: "repeat_page", fails: true},
		"no items member":      {customers: 3, fault: "missing_items", fails: true},
		"fault in 200":         {customers: 3, fault: "fault_in_200", fails: true},
		"html":                 {customers: 3, fault: "html_error", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{empty: true, options: partnercentertest.Options{PageSize: tc.pageSize}})
			for i := range tc.customers {
				w.fake.AddCustomer(partnercentertest.Customer{Name: fmt.Sprint("Customer ", i)})
			}
			if tc.fault != "" {
				w.misbehave(tc.fault, tc.value)
			}
			_, listing, err := w.list(kindCustomer)
			if (err != nil) != tc.fails || len(listing.Gaps) != tc.gaps {
				t.Errorf("gaps %+v, error %v", listing.Gaps, err)
			}
			if tc.fails {
				wants(t, err, connectors.ClassTransient)
			}
		})
	}
}

func TestOneRefusedCustomerIsAGap(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("forbid_customer", kea)
	found, listing, err := w.list(kindSubscription)
	if err != nil || len(found) != 4 || len(listing.Gaps) != 1 || listing.Gaps[0].Parent != kea || listing.Gaps[0].Class != connectors.ClassAuth {
		t.Errorf("%d subscriptions, %+v, %v", len(found), listing, err)
	}
	parents := []string{}
	for _, rec := range found {
		parents = append(parents, rec.Parent)
	}
	if !slices.IsSorted(parents) {
		t.Errorf("order of customers: %v", parents)
	}
	unknown := "00000000-0000-4000-8000-000000000000"
	_, listing, err = w.list(kindSubscription, unknown, harbour)
	if err != nil || listing.Received != 2 || len(listing.Gaps) != 1 || listing.Gaps[0].Parent != unknown {
		t.Errorf("with an unknown customer: %+v, %v", listing, err)
	}
}

func TestTroubleOfTheServiceFailsTheListing(t *testing.T) {
	t.Parallel()
	for fault, class := range map[string]connectors.Class{
		"server_error": connectors.ClassTransient, "throttle_storm": connectors.ClassLimited, "expire_token": connectors.ClassAuth,
	} {
		w := start(t, setup{})
		w.misbehave(fault, "")
		_, _, err := w.list(kindSubscription, harbour, kea)
		wants(t, err, class)
	}
}

func TestStoppedListingIsNoListing(t *testing.T) {
	t.Parallel()
	w := start(t, setup{account: func(a *connectors.Account) { a.Budget.Parallel = 1 }})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, err := w.List(ctx, connectors.ListRequest{Kind: kindSubscription}, func(connectors.Record) error {
		stop()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the caller's own stop", err)
	}
	mine := errors.New("enough")
	if _, err := w.List(t.Context(), connectors.ListRequest{Kind: kindSubscription}, func(connectors.Record) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v, want the error of yield", err)
	}
}

func TestResellerSeesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	w := start(t, setup{options: partnercentertest.Options{AccountType: partnercentertest.IndirectProvider},
		account: func(a *connectors.Account) { a.Settings["reseller"] = "5550017" }})
	customers, _, err := w.list(kindCustomer)
	if err != nil || len(customers) != 1 || customers[0].ID != harbour {
		t.Errorf("customers %v, %v", customers, err)
	}
	subs, listing, err := w.list(kindSubscription)
	if err != nil || len(subs) != 2 || !listing.Complete() {
		t.Errorf("%d subscriptions, %+v, %v", len(subs), listing, err)
	}

	unknown := start(t, setup{options: partnercentertest.Options{AccountType: partnercentertest.IndirectProvider},
		account: func(a *connectors.Account) { a.Settings["reseller"] = "1" }})
	_, _, err = unknown.list(kindCustomer)
	wants(t, err, connectors.ClassInvalid, "no indirect reseller", "check the setting reseller")
}

func TestSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	for words, settings := range map[string]map[string]string{
		"account_type indirect_provider": {"reseller": "1"},
		"needs a refresh_token":          {"reseller": "1", "account_type": indirectProvider},
	} {
		_, err := New(connectors.Account{Name: "microsoft", Settings: settings})
		wants(t, err, connectors.ClassInvalid, words)
	}
}

func TestRotatedTokenIsKeptBeforeUse(t *testing.T) {
	t.Parallel()
	kept := &vault{}
	w := start(t, setup{account: func(a *connectors.Account) { a.Vault = kept }})
	for range 4 { // more exchanges than the grace of a replaced token
		w.clock.Advance(2 * time.Hour)
		if _, _, err := w.list(kindCustomer); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.list(kindPrice); err != nil {
			t.Fatal(err)
		}
	}
	if s := kept.kept["microsoft.refresh_token"]; !strings.HasPrefix(s.Reveal(), "refresh-") {
		t.Errorf("the vault holds %q", s.Reveal())
	}

	w = start(t, setup{account: func(a *connectors.Account) { a.Vault = &vault{broken: true} }})
	if _, _, err := w.list(kindCustomer); err == nil || strings.Contains(err.Error(), "refresh-") {
		t.Errorf("with a broken vault: %v", err)
	}
	for _, r := range w.fake.Requests() {
		if strings.HasPrefix(r.Path, "/api/") || strings.HasPrefix(r.Path, "/v1/") {
			t.Errorf("the access token was used although the vault refused: %+v", r)
		}
	}
}

func TestRefusedSignInSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("revoke_refresh", "")
	_, err := w.Check(t.Context())
	wants(t, err, connectors.ClassAuth, "the refresh token expired", "AADSTS700082", "sign in again and replace refresh_token")
	w = start(t, setup{account: func(a *connectors.Account) { a.Secrets["client_secret"] = connectors.NewSecret("planted") }})
	_, _, err = w.list(kindSubscription, harbour)
	wants(t, err, connectors.ClassAuth, "the client secret is wrong", "AADSTS7000215")
	if strings.Contains(err.Error(), "planted") {
		t.Errorf("the secret is in the error: %v", err)
	}
}

func TestPrices(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	early, late := w.clock.Now().AddDate(0, 0, -10), w.clock.Now().AddDate(0, 0, 10)
	row := partnercentertest.Price{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", Term: "P1Y", BillingPlan: "Monthly", UnitPrice: "1", ERPPrice: "1"}
	for _, change := range []func(*partnercentertest.Price){
		func(p *partnercentertest.Price) { p.Start = late },                                  // not yet
		func(p *partnercentertest.Price) { p.Start, p.End = early.AddDate(-1, 0, 0), early }, // no more
		func(p *partnercentertest.Price) { p.Start, p.Segment = early, "Education" },
		func(p *partnercentertest.Price) { p.Start, p.TierMin = early, "100" },
	} {
		p := row
		change(&p)
		w.fake.SetPrice(p)
	}
	found, listing, err := w.list(kindPrice)
	if err != nil || !listing.Complete() || len(found) != 5 {
		t.Fatalf("%d prices, %+v, %v", len(found), listing, err)
	}
	var got map[string]string
	for _, rec := range found {
		if rec.ID == "CFQ7TTC0LCHC:0002 P1Y monthly" {
			got = show(rec.Fields)
		}
	}
	want := map[string]string{
		"id": "CFQ7TTC0LCHC:0002 P1Y monthly", "productTitle": "Microsoft 365 Business Premium", "productId": "CFQ7TTC0LCHC", "skuId": "0002",
		"sku": "CFQ7TTC0LCHC:0002", "skuTitle": "Microsoft 365 Business Premium", "termDuration": "P1Y", "billingPlan": "monthly", "unitPrice": "222.768 USD",
		"erpPrice": "277.2 USD", "unitCostMonth": "18.564 USD", "erpPriceMonth": "23.1 USD", "effectiveStart": "2031-01-04", "segment": "Commercial", "currency": "USD",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("price (-want +got):\n%s", diff)
	}
}

func TestPricesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	noCountry := start(t, setup{account: func(a *connectors.Account) { delete(a.Settings, "country") }})
	appOnly := start(t, setup{account: func(a *connectors.Account) { delete(a.Secrets, "refresh_token") }})
	badRow := start(t, setup{})
	badRow.fake.SetPrice(partnercentertest.Price{ProductID: "X", SkuID: "1", Term: "P1M", UnitPrice: "1,5"})
	for words, w := range map[string]*world{"set country": noCountry, "set refresh_token": appOnly, "line 7": badRow} {
		_, listing, err := w.list(kindPrice)
		if err != nil || len(listing.Gaps) != 1 || !strings.Contains(listing.Gaps[0].Reason, words) {
			t.Errorf("%s: %+v, %v", words, listing, err)
		}
	}
	missing := start(t, setup{})
	missing.misbehave("no_price_sheet", "")
	_, _, err := missing.list(kindPrice)
	wants(t, err, connectors.ClassMissing)
	none := start(t, setup{empty: true})
	_, _, err = none.list(kindPrice)
	wants(t, err, connectors.ClassTransient, "no commercial row")
}

func TestReadSheet(t *testing.T) {
	t.Parallel()
	header := "ProductTitle,ProductId,SkuId,SkuTitle,TermDuration,BillingPlan,Currency,UnitPrice,EffectiveStartDate,EffectiveEndDate"
	now := time.Date(2031, time.February, 4, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct{ sheet, want, fails string }{
		"2021, without segment and retail price": {header + "\nA,P,0001,B,P1M,Monthly,USD,1.50,2031-01-01T00:00:00Z,9999-12-31", "P:0001 P1M monthly 1.5 USD", ""},
		"smart quotes in the header":             {"“ProductTitle”,“ProductId”" + header[len("ProductTitle,ProductId"):] + "\nA,P,0001,B,,None,USD,1.50,1/1/2031,12/31/9999 11:59:59 PM", "P:0001  none 1.5 USD", ""},
		"no price column":                        {strings.Replace(header, "UnitPrice", "Price", 1) + "\n", "", "no column unitprice"},
		"nothing at all":                         {"", "", "first line"},
	} {
		rows, bad, err := readSheet(strings.NewReader(tc.sheet), now)
		var got string
		for id, row := range rows {
			got += id + " " + row.unit.String()
		}
		if got != tc.want || bad != "" || (err != nil) != (tc.fails != "") || err != nil && !strings.Contains(err.Error(), tc.fails) {
			t.Errorf("%s: got %q, bad %q, error %v", name, got, bad, err)
		}
	}
}

func TestCheckNamesWhatIsMissingForWhom(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("forbid_customer", kea)
	w.misbehave("no_mfa", "")
	w.misbehave("no_audit", "")
	report, err := w.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range report.Rights {
		got = append(got, fmt.Sprint(r.Granted, " ", r.Name, " ", r.Customer))
		if !r.Granted && r.Reason == "" {
			t.Errorf("no reason for %+v", r)
		}
	}
	want := []string{
		"false multi-factor sign-in ", "false read subscriptions Kea Logistics (" + kea + ")", "false read the activity log ",
		"true list customers ", "true read prices ",
		"true read subscriptions Harbour Dental (" + harbour + ")", "true read subscriptions Moa Motors (7f5c4a96-be88-4d5f-9b6c-ad4e950cc005)",
		"true read subscriptions Rata Law (5d3a2e74-9c66-4b3d-9f4a-8b2c73eaa003)", "true read subscriptions Weka Cafe (6e4b3f85-ad77-4c4e-8a5b-9c3d84fbb004)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	if w.patches() != 0 {
		t.Error("check changed something")
	}
}
