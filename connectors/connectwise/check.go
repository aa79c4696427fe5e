package connectwise

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
)

// Check implements connectors.Connector. The keys are proven by counting companies: the system information, which would
// also tell who we are, answers without keys on some installations. Rights to write cannot be seen without writing.
func (c *Connector) Check(ctx context.Context) (connectors.Report, error) {
	const op = "check"
	if _, err := c.discover(ctx, ""); err != nil {
		return connectors.Report{}, err
	}
	var report connectors.Report
	grant := func(name, reason string) {
		report.Rights = append(report.Rights, connectors.Right{Name: name, Granted: true, Reason: reason})
	}
	deny := func(name, reason string) {
		report.Rights = append(report.Rights, connectors.Right{Name: name, Reason: reason})
	}
	// probe reports whether a kind may be read; only an error that is not about this kind ends the check.
	probe := func(name string, r resource, parent string) (int, bool, error) {
		n, err := c.count(ctx, search{path: r.collection(parent), conditions: c.conditions(r.kind), op: name, record: under(r.kind, parent)})
		switch class := connectors.ClassOf(err); {
		case err == nil:
			grant(name, "")
			return n, true, nil
		case class == connectors.ClassAuth, class == connectors.ClassInvalid, class == connectors.ClassMissing:
			deny(name, err.Error())
			return 0, false, nil
		}
		return 0, false, err
	}
	refused, asked := 0, 0
	var agreements, companies bool
	for _, r := range resources {
		if above[r.kind] != "" || r.kind == kindTicket {
			continue // the path of the first needs a parent; tickets are looked at below
		}
		if r.kind == kindOffer || r.kind == kindOffered {
			// Only flows that turn quotes into orders need it.
			if _, _, err := probe("read "+r.noun+" (for quotes)", r, ""); err != nil {
				return connectors.Report{}, err
			}
			report.Rights[len(report.Rights)-1].Optional = true
			continue
		}
		asked++
		n, ok, err := probe("read "+r.noun, r, "")
		if err != nil {
			return connectors.Report{}, err
		}
		if !ok {
			refused++
		}
		switch {
		case r.kind == kindCompany && ok && n == 0:
			report.Rights = report.Rights[:len(report.Rights)-1]
			deny("read companies", "the PSA shows this API member no company at all; check its security role and the setting company")
		case r.kind == kindCompany:
			companies = ok
		case r.kind == kindAgreement:
			agreements = ok
		}
	}
	if refused == asked {
		// Nothing at all: that is not a role, the keys are wrong. The first refusal says how.
		_, err := c.count(ctx, search{path: resourceOf(kindCompany).path, op: op, record: "of the keys"})
		return connectors.Report{}, c.missingCollection(err)
	}
	if companies {
		if err := c.checkTenantField(ctx, op, grant, deny); err != nil {
			return connectors.Report{}, err
		}
	}
	if agreements {
		if err := c.checkAgreements(ctx, op, probe, grant, deny); err != nil {
			return connectors.Report{}, err
		}
	}
	// Tickets are needed only where a flow opens them, so that a role without them lacks nothing.
	tickets := resourceOf(kindTicket)
	_, err := c.count(ctx, search{path: tickets.path, conditions: c.conditions(kindTicket), op: op, record: "of tickets"})
	switch class := connectors.ClassOf(err); {
	case err == nil:
		grant("read tickets", "needed where a flow opens tickets")
	case class != connectors.ClassAuth && class != connectors.ClassInvalid && class != connectors.ClassMissing:
		return connectors.Report{}, err
	}
	info, _, err := c.getObject(ctx, "/system/info", op, "of the system information")
	switch class := connectors.ClassOf(err); {
	case err == nil:
		grant("read system information", "")
	case class == connectors.ClassAuth, class == connectors.ClassMissing:
		deny("read system information", err.Error())
	default:
		return connectors.Report{}, err
	}
	report.Identity = c.identity(info)
	slices.SortStableFunc(report.Rights, func(a, b connectors.Right) int {
		if a.Granted != b.Granted {
			if b.Granted {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return report, nil
}

func (c *Connector) identity(info object) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := "company " + c.account.Settings["company"]
	if c.title != "" {
		who += " (" + c.title + ")"
	}
	if c.member != "" {
		who += ", API member " + c.member
	}
	if version := textOf(info["version"]); version != "" {
		who += ", version " + version
	}
	if zone := textOf(info["serverTimeZone"]); zone != "" {
		who += ", server time zone " + zone
	}
	return who
}

// checkTenantField looks for the custom field on one company.
func (c *Connector) checkTenantField(ctx context.Context, op string, grant, deny func(name, reason string)) error {
	name, caption := "keep tenant ids on companies", strings.TrimPrefix(c.tenantField, customPrefix)
	o, err := c.first(ctx, op, resourceOf(kindCompany), "", c.conditions(kindCompany))
	if err != nil || o == nil {
		return err
	}
	if c.hasCustom(kindCompany, caption) {
		grant(name, "")
	} else {
		deny(name, fmt.Sprintf("companies have no custom field %q; have an administrator add it as text, or set tenant_field", caption))
	}
	return nil
}

func (c *Connector) hasCustom(kind, caption string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, has := c.captions[kind][caption]
	return has
}

// checkAgreements looks at the first agreement's additions and at the agreement types that are set.
func (c *Connector) checkAgreements(ctx context.Context, op string, probe func(string, resource, string) (int, bool, error), grant, deny func(name, reason string)) error {
	additions := resourceOf(kindAddition)
	agreement, err := c.first(ctx, op, resourceOf(kindAgreement), "", c.conditions(kindAgreement))
	if err != nil {
		return err
	}
	if agreement != nil {
		parent := textOf(agreement["id"])
		n, ok, err := probe("read additions", additions, parent)
		if err != nil {
			return err
		}
		if ok && n > 0 {
			if _, err := c.first(ctx, op, additions, parent, ""); err != nil {
				return err
			}
			caption := strings.TrimPrefix(c.idField, customPrefix)
			reason := ""
			if !c.hasCustom(kindAddition, caption) {
				reason = fmt.Sprintf("in the serial number, because additions have no custom field %q", caption)
			}
			grant("keep subscription ids on additions", reason)
		}
	}
	typeField, _ := resourceOf(kindAgreement).member("type")
	for _, name := range c.types {
		right := fmt.Sprintf("look at agreements of type %q", name)
		_, err := c.idNamed(ctx, op, typeField, name)
		switch class := connectors.ClassOf(err); {
		case err == nil:
			grant(right, "")
		case class == connectors.ClassInvalid, class == connectors.ClassAuth:
			deny(right, err.Error())
		default:
			return err
		}
	}
	return nil
}
