package partnercentertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"sync"
	"time"
)

// Authority gives out certificates for signing messages. Its own is a root, or was issued by another authority.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// CertificateOptions are what a certificate says. The zero value is a good one of the service: given to Microsoft Corporation, in force for
// long on either side of any clock a test has.
type CertificateOptions struct {
	Organization string    // "Microsoft Corporation" when empty
	From, To     time.Time // 2020 to 2100 when zero
	IssuedAt     string    // where the certificate says that its issuer's is; nowhere when empty
	Bits         int       // of the signer's key; 2048 when 0
}

func (o CertificateOptions) template(name string) *x509.Certificate {
	if o.Organization == "" {
		o.Organization = "Microsoft Corporation"
	}
	if o.From.IsZero() {
		o.From = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.To.IsZero() {
		o.To = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	check(err)
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{Organization: []string{o.Organization}, CommonName: name}, NotBefore: o.From, NotAfter: o.To,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	if o.IssuedAt != "" {
		t.IssuingCertificateURL = []string{o.IssuedAt}
	}
	return t
}

func check(err error) {
	if err != nil {
		panic(err) // the system's random numbers, or a template of ours
	}
}

// NewAuthority makes an authority with a root of its own, which nobody trusts yet.
func NewAuthority(o CertificateOptions) *Authority { return authority(nil, o) }

// Authority makes one whose certificate a issued.
func (a *Authority) Authority(o CertificateOptions) *Authority { return authority(a, o) }

func authority(above *Authority, o CertificateOptions) *Authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	t := o.template("Invented authority")
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
	parent, signer := t, key
	if above != nil {
		parent, signer = above.certificate, above.key
	}
	return &Authority{issue(t, parent, &key.PublicKey, signer), key}
}

func issue(t, parent *x509.Certificate, public any, signer crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, signer)
	check(err)
	made, err := x509.ParseCertificate(der)
	check(err)
	return made
}

// PEM is the authority's certificate as webhook_roots takes it.
func (a *Authority) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// DER is the authority's certificate as it is published.
func (a *Authority) DER() []byte { return a.certificate.Raw }

// Signer signs messages as the service does.
type Signer struct {
	certificate *x509.Certificate
	key         *rsa.PrivateKey
}

// rsaKey is made once for each size: making one takes a tenth of a second and more.
func rsaKey(bits int) *rsa.PrivateKey {
	if bits == 1024 {
		return weakKey()
	}
	return usualKey()
}

var (
	usualKey = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	weakKey  = sync.OnceValue(func() *rsa.PrivateKey { return newKey(1024) })
)

func newKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	check(err)
	return key
}

// Signer makes a signer whose certificate a issued.
func (a *Authority) Signer(o CertificateOptions) *Signer {
	key := rsaKey(o.Bits)
	return &Signer{issue(o.template("notifications.example.com"), a.certificate, &key.PublicKey, a.key), key}
}

// DER is the signer's certificate as it is published.
func (s *Signer) DER() []byte { return s.certificate.Raw }

// Sign is the signature of a body: RSA over its SHA-256, in base64.
func (s *Signer) Sign(body []byte) string {
	sum := sha256.Sum256(body)
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	check(err)
	return base64.StdEncoding.EncodeToString(signature)
}
