// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/curve25519"

	"github.com/tunrouter/tunrouter/peers/disco"
)

var update = flag.Bool("update", false, "write testdata/vectors.json")

const vectorsFile = "testdata/vectors.json"

// hexBytes are bytes that JSON has as hex digits.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// A vector is one frame from A to B with everything that leads to it.
type vector struct {
	Name     string        `json:"name"`
	Domain   string        `json:"domain"`
	PrivateA hexBytes      `json:"private_a"`
	PrivateB hexBytes      `json:"private_b"`
	Epoch    uint64        `json:"epoch,string"`
	Nonce    hexBytes      `json:"nonce"`
	Fields   []vectorField `json:"fields"`
	vectorDerived
	Body  hexBytes `json:"body"`
	Frame hexBytes `json:"frame"`
}

type vectorField struct {
	Name string   `json:"name"`
	Hex  hexBytes `json:"hex"`
}

// vectorDerived are the steps of section 3 of docs/PROTOCOL.md.
type vectorDerived struct {
	PublicA hexBytes `json:"public_a"`
	PublicB hexBytes `json:"public_b"`
	Shared  hexBytes `json:"shared"`
	Key     hexBytes `json:"key"`
	TagKey  hexBytes `json:"tag_key"`
	Tag     hexBytes `json:"tag"`
}

// TestVectors compares the package with testdata/vectors.json, and the file with
// what plain calls of x/crypto make of its inputs.
func TestVectors(t *testing.T) {
	cases := vectorCases(t)
	if *update {
		writeVectors(t, cases)
	}
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != len(cases) {
		t.Fatalf("%s has %d vectors, the test %d", vectorsFile, len(vectors), len(cases))
	}
	for i, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			c := cases[i]
			if in := v.inputs(); !reflect.DeepEqual(in, c.vector) {
				t.Fatalf("inputs: got %+v, want %+v", in, c.vector)
			}
			checkPlainly(t, &v)
			checkPackage(t, &v, &c)
		})
	}
}

// inputs returns v without what is derived from the rest.
func (v vector) inputs() vector {
	v.vectorDerived, v.Body, v.Frame = vectorDerived{}, nil, nil
	return v
}

// checkPlainly follows docs/PROTOCOL.md step by step, without the package.
func checkPlainly(t *testing.T, v *vector) {
	if got := derivePlainly(t, v); !reflect.DeepEqual(got, v.vectorDerived) {
		t.Fatalf("keys and tags: got %+v, want %+v", v.vectorDerived, got)
	}
	var body []byte
	for _, f := range v.Fields {
		body = append(body, f.Hex...)
	}
	if !bytes.Equal(v.Body, body) {
		t.Fatalf("body: got %x, want the fields %x", v.Body, body)
	}
	frame := append([]byte{0xf3, 0x74, 0x72, 0x64}, v.Tag...)
	aead, err := chacha20poly1305.NewX(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	frame = append(frame, v.Nonce...)
	frame = aead.Seal(frame, v.Nonce, body, frame[:12])
	if !bytes.Equal(v.Frame, frame) {
		t.Fatalf("frame: got %x, want %x", v.Frame, frame)
	}
}

func derivePlainly(t *testing.T, v *vector) (d vectorDerived) {
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	hash := func(key []byte, parts ...[]byte) []byte {
		h, err := blake2s.New256(key)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(bytes.Join(parts, nil))
		return h.Sum(nil)
	}
	d.PublicA = must(curve25519.X25519(v.PrivateA, curve25519.Basepoint))
	d.PublicB = must(curve25519.X25519(v.PrivateB, curve25519.Basepoint))
	d.Shared = must(curve25519.X25519(v.PrivateB, d.PublicA))
	d.Key = hash(d.Shared, []byte(v.Domain), []byte(" key"), d.PublicA, d.PublicB)
	d.TagKey = hash(d.Shared, []byte(v.Domain), []byte(" tag"), d.PublicA, d.PublicB)
	d.Tag = hash(d.TagKey, binary.BigEndian.AppendUint64(nil, v.Epoch))[:8]
	return d
}

// checkPackage seals, opens and decodes with the package.
func checkPackage(t *testing.T, v *vector, c *vectorCase) {
	a, b := c.pairs(t)
	if got := a.SendTag(v.Epoch); !bytes.Equal(got[:], v.Tag) {
		t.Errorf("SendTag: got %x, want %x", got, v.Tag)
	}
	if got := b.ReceiveTag(v.Epoch); !bytes.Equal(got[:], v.Tag) {
		t.Errorf("ReceiveTag: got %x, want %x", got, v.Tag)
	}
	if got := appendBody(t, c.message); !bytes.Equal(got, v.Body) {
		t.Errorf("%T.AppendBody: got %x, want %x", c.message, got, v.Body)
	}
	if got := a.Seal(nil, v.Epoch, v.Body); !bytes.Equal(got, v.Frame) {
		t.Errorf("Seal: got %x, want %x", got, v.Frame)
	}
	body, err := b.Open(nil, v.Frame)
	if err != nil || !bytes.Equal(body, v.Body) {
		t.Fatalf("Open: got %x, %v, want %x", body, err, v.Body)
	}
	got := reflect.New(reflect.TypeOf(c.message).Elem()).Interface().(message)
	if err := got.Decode(body); err != nil || !reflect.DeepEqual(got, c.message) {
		t.Errorf("Decode: got %+v, %v, want %+v", got, err, c.message)
	}
}

// pairs returns A's and B's side; A's has the vector's nonce, once.
func (c *vectorCase) pairs(t *testing.T) (a, b *disco.Pair) {
	domain := disco.DomainPeer
	if c.Domain != domain.String() {
		domain = disco.DomainRelay
	}
	ia, ib := disco.NewIdentity(disco.Key(c.PrivateA)), disco.NewIdentity(disco.Key(c.PrivateB))
	ia.SetRand(bytes.NewReader(c.Nonce))
	return pair(t, domain, ia, ib.Public()), pair(t, domain, ib, ia.Public())
}

func writeVectors(t *testing.T, cases []vectorCase) {
	vectors := make([]vector, len(cases))
	for i, c := range cases {
		a, _ := c.pairs(t)
		v := c.vector
		v.vectorDerived = derivePlainly(t, &v)
		v.Body = c.message.AppendBody(nil)
		v.Frame = a.Seal(nil, v.Epoch, v.Body)
		vectors[i] = v
	}
	data, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
