package bank

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// The merchant's interface, JSON over HTTP with a bearer token:
//
//	POST /orders       {"id":"A-1","type":"sale","amount":"12.34","currency":"EUR"}
//	                   {"id":"R-1","type":"refund","original":"A-1","amount":"2.34","currency":"EUR"}
//	                   {"id":"C-1","type":"cashback","amount":"30.00","cashback":"20.00","currency":"EUR"}
//	POST /activations  {}  ->  {"code":"…"}
//	GET  /orders/ID    ->  {"state":"open|pending|held|paid|voided"}
//	GET  /metrics      ->  counters, in Prometheus' text format
//	GET  /health       ->  ok, or status 503; without the token
//	GET  /audit        ->  {"entries":2,"pending":0,"problems":[]}
type orderBody struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
	Original string `json:"original,omitempty"`
	Cashback string `json:"cashback,omitempty"`
}

func (b *Bank) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /orders", b.postOrder)
	b.attestation(m)
	m.HandleFunc("POST /activations", func(w http.ResponseWriter, r *http.Request) {
		code, err := b.Activate(r.Context())
		answer(w, map[string]string{"code": code}, err)
	})
	m.HandleFunc("POST /terminals/{id}/revoke", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		answer(w, map[string]string{"revoked": id}, b.registry.Revoke(r.Context(), id))
	})
	m.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		s, err := b.server.OrderState(r.Context(), r.PathValue("id"))
		answer(w, map[string]trade.State{"state": s}, err)
	})
	m.HandleFunc("GET /audit", func(w http.ResponseWriter, r *http.Request) {
		rep, err := b.Audit(r.Context())
		answer(w, map[string]any{"entries": rep.Entries, "pending": rep.Pending, "problems": rep.Problems}, err)
	})
	m.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		// The scraper may have gone away; there is nobody else to tell.
		_ = b.server.WriteMetrics(w)
	})
	want := []byte("Bearer " + b.c.Keys.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/health" {
			b.health(w, r)
			return
		}
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "the merchant's token is missing or wrong", http.StatusUnauthorized)
			return
		}
		m.ServeHTTP(w, r)
	})
}

// health says whether the bank can work. It needs no token, and tells those
// without one nothing more.
func (b *Bank) health(w http.ResponseWriter, r *http.Request) {
	if err := b.server.Health(r.Context()); err != nil {
		b.tell("health: %v", err)
		http.Error(w, "the ledger does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (b *Bank) postOrder(w http.ResponseWriter, r *http.Request) {
	var o orderBody
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<12))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		http.Error(w, "not an order: "+err.Error(), http.StatusBadRequest)
		return
	}
	c, err := money.ByCode(o.Currency)
	var a, cash money.Amount
	if err == nil {
		a, err = money.Parse(o.Amount, c)
	}
	if err == nil && o.Cashback != "" {
		cash, err = money.Parse(o.Cashback, c)
	}
	if err == nil {
		err = b.CreateOrder(r.Context(), host.Order{ID: o.ID, Type: trade.Type(o.Type), Amount: a, Cashback: cash, Merchant: demo.MerchantID, Original: o.Original})
	}
	answer(w, map[string]string{"id": o.ID}, err)
}

func answer(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	switch {
	case err == nil:
	case errors.Is(err, host.ErrOrderExists):
		status = http.StatusConflict
	case errors.Is(err, host.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, host.ErrUnsupported):
		status = http.StatusNotImplemented
	default:
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err != nil {
		body = map[string]string{"error": err.Error()}
	}
	// The merchant may have gone away; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(body)
}

// Merchant is the merchant's back end, as the example programs play it.
type Merchant struct {
	Address, Token string
}

// ErrMerchant: the bank did not take a merchant's request.
var ErrMerchant = errors.New("merchant's request")

func (m Merchant) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMerchant, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.Address+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMerchant, err)
	}
	req.Header.Set("Authorization", "Bearer "+m.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMerchant, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<12))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMerchant, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s: %s", ErrMerchant, resp.Status, bytes.TrimSpace(b))
	}
	return json.Unmarshal(b, out)
}

// CreateOrder places an order. Its merchant is the token's.
func (m Merchant) CreateOrder(ctx context.Context, o host.Order) error {
	b := orderBody{ID: o.ID, Type: string(o.Type), Amount: o.Amount.Decimal(), Currency: o.Amount.Currency.Code(), Original: o.Original}
	if o.Cashback.Minor != 0 {
		b.Cashback = o.Cashback.Decimal()
	}
	return m.post(ctx, "/orders", b, &struct{ ID string }{})
}

// Activate fetches an activation code.
func (m Merchant) Activate(ctx context.Context) (string, error) {
	var out struct{ Code string }
	err := m.post(ctx, "/activations", struct{}{}, &out)
	return out.Code, err
}

// Revoke takes a terminal out of service.
func (m Merchant) Revoke(ctx context.Context, terminal string) error {
	return m.post(ctx, "/terminals/"+url.PathEscape(terminal)+"/revoke", struct{}{}, &struct{ Revoked string }{})
}
