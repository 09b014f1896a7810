package c3

import (
	"context"
	"errors"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// request is a user interface request with the offline spending amount, where
// the card gives one (4.3.1.1).
func (t *transaction) request(m contactless.MessageID, s contactless.Status) *contactless.UIRequest {
	u := &contactless.UIRequest{Message: m, Status: s, Languages: t.d.Languages()}
	if v := t.d.Get(tags.AvailableOfflineSpending); len(v) == 6 {
		if n, err := tlv.ParseN(v); err == nil {
			u.Qualifier, u.Value = contactless.ValueBalance, money.New(int64(n), t.a.Transaction.Amount.Currency)
		}
	}
	return u
}

// keep makes the data the outcome's record.
func (t *transaction) keep() *contactless.Data {
	t.d.Keep(tags.AvailableOfflineSpending)
	return t.d
}

func (t *transaction) declined() contactless.Outcome {
	return contactless.Outcome{
		Kind: contactless.Declined, Data: t.keep(),
		UI: t.request(contactless.MessageNotAuthorised, contactless.StatusNotReady),
	}
}

func (t *transaction) approved(cvm contactless.CVM) contactless.Outcome {
	m := contactless.MessageApproved
	if cvm == contactless.CVMSignature {
		m = contactless.MessageApprovedSign
	}
	return contactless.Outcome{
		Kind: contactless.Approved, CVM: cvm, Data: t.keep(), Risks: t.risks(cvm), Receipt: cvm == contactless.CVMSignature,
		UI: t.request(m, contactless.StatusNotReady),
	}
}

// goOnline asks the issuer. Where card and reader have issuer update processing,
// an answer with data for the card brings it back (5.8.1.2).
func (t *transaction) goOnline(cvm contactless.CVM) contactless.Outcome {
	m := contactless.MessageAuthorising
	if cvm == contactless.CVMOnlinePIN {
		m = contactless.MessageEnterPIN
	}
	out := contactless.Outcome{
		Kind: contactless.OnlineRequest, CVM: cvm, Data: t.keep(), Risks: t.risks(cvm), Receipt: cvm == contactless.CVMSignature,
		UI: t.request(m, contactless.StatusNotReady),
	}
	if t.ttq.Has(tags.TTQIssuerUpdate) && t.ctq.Has(tags.CTQIssuerUpdateProcessing) {
		out.Start, out.OnlineResponse = contactless.StartB, contactless.OnlineResponseEMV
		out.UIRestart = &contactless.UIRequest{Message: contactless.MessagePresentCardAgain, Status: contactless.StatusReadyToRead}
		out.FieldOff = contactless.FieldOff{Requested: true}
	}
	return out
}

// update is issuer update processing (5.9): EXTERNAL AUTHENTICATE with the
// issuer's authentication data, then its scripts. The issuer's decision stands
// whatever the card says.
func (k *Kernel) update(ctx context.Context, a *contactless.Activation) (contactless.Outcome, error) {
	d := a.Before
	out := contactless.Outcome{Kind: contactless.Declined, Data: d, UI: &contactless.UIRequest{Message: contactless.MessageNotAuthorised}}
	if a.Issuer.Approved {
		out.Kind, out.UI.Message = contactless.Approved, contactless.MessageApproved
	}
	d.Set(tags.ARC, []byte(a.Issuer.ARC))
	if iad := a.Issuer.IssuerAuthenticationData; len(iad) > 0 {
		d.Set(tags.IssuerAuthenticationData, iad)
		r, err := a.Send(ctx, emv.StepIssuerAuth, "EXTERNAL AUTHENTICATE", apdu.ExternalAuthenticate(iad))
		switch {
		case contactless.Lost(err):
			out.Reasons = append(out.Reasons, "the card was taken away before the issuer's answer reached it")
			return out, nil
		case err != nil && !errors.Is(err, emv.ErrCard):
			return contactless.Outcome{}, err
		case err != nil || !r.SW.OK():
			out.Reasons = append(out.Reasons, "the card did not accept the issuer's answer")
		}
	}
	if len(a.Issuer.Scripts) > 0 {
		results, err := emv.RunScripts(ctx, a.Card, a.Issuer.Scripts, a.Observe, a.Config.Now)
		out.ScriptResults = results
		switch {
		case contactless.Lost(err):
			out.Reasons = append(out.Reasons, "the card was taken away before the issuer's scripts were done")
		case err != nil && !errors.Is(err, emv.ErrCard):
			return contactless.Outcome{}, err
		}
	}
	a.Show(contactless.UIRequest{Message: contactless.MessageCardReadOK, Status: contactless.StatusCardRead})
	return out, nil
}
