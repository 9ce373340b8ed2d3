package ldapproxy

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	foreign "github.com/go-asn1-ber/asn1-ber"
	ber "github.com/nmcclain/asn1-ber"
	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"
)

// drip gives a few bytes at a time.
type drip struct {
	b []byte
	n int
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.b[:min(d.n, len(d.b))])
	d.b = d.b[n:]
	return n, nil
}

// FuzzFrame: what is accepted is, frame after frame, what was sent, every byte
// of it lies in an element, and whatever looks into it comes to no harm.
func FuzzFrame(f *testing.F) {
	for _, frame := range hostile {
		f.Add(frame, uint16(3))
	}
	for _, frame := range [][]byte{
		bindFrame(1, "an", password), searchFrame(2, oidProxiedAuthorization), compareFrame(3, "userPassword;x"),
		extendedFrame(4, oidStartTLS), abandonFrame(5, 1), unbindFrame(6), entry(7, 10),
	} {
		f.Add(frame, uint16(len(frame)))
		f.Add(append(frame, frame...), uint16(7))
	}
	f.Fuzz(func(t *testing.T, input []byte, chunk uint16) {
		src := source{r: &drip{input, int(chunk) + 1}}
		defer src.giveBack()
		var accepted []byte
		for {
			h, frame, err := guarded(&src)
			if err != nil {
				break
			}
			require.Equal(t, frame, rebuild(frame, maxNesting+1))
			accepted = append(accepted, frame...)
			lookInto(t, h, frame)
		}
		require.True(t, bytes.HasPrefix(input, accepted))
	})
}

// guarded reads a frame as a conn does.
func guarded(src *source) (header, []byte, error) {
	b, err := src.peek(1)
	for err == nil {
		h, bad := parseHeader(b, maxInspected, true)
		if errors.Is(bad, errShort) {
			b, err = src.peek(len(b) + 1)
			continue
		}
		if bad != nil {
			return h, nil, bad
		}
		if b, err = src.peek(h.size); err != nil {
			break
		}
		src.skip(h.size)
		frame := bytes.Clone(b[:h.size])
		return h, frame, guard(h, frame)
	}
	return header{}, nil, err
}

// rebuild writes the elements of b again, each with its own head.
func rebuild(b []byte, depth int) (out []byte) {
	for len(b) > 0 {
		tag, head, body, err := element(b)
		if err != nil || depth < 0 {
			return nil
		}
		out = append(out, b[:head]...)
		contents := b[head : head+body]
		if tag&constructed != 0 {
			contents = rebuild(contents, depth-1)
		}
		out = append(out, contents...)
		b = b[head+body:]
	}
	return out
}

// lookInto does what a conn does with a guarded frame.
func lookInto(t *testing.T, h header, frame []byte) {
	contents, controls := operation(h, frame)
	_, _ = refusesControls(controls, false)
	switch h.op {
	case opBindRequest:
		_, _, _ = decodeBind(h, frame, true, nil)
	case opCompareRequest:
		if d, err := compareRequest(contents); err == nil {
			_ = refusesCompare(d)
		}
	case opExtendedRequest:
		_, _ = extendedRequest(contents)
	case opAbandonRequest:
		_, _ = abandonedID(contents)
	}
	packet, err := foreign.DecodePacketErr(frame)
	if err == nil { // another decoder that understands it sees the same operation
		require.Equal(t, h.op, byte(packet.Children[1].ClassType)|byte(packet.Children[1].TagType)|byte(packet.Children[1].Tag))
		require.Equal(t, int64(h.id), packet.Children[0].Value)
	}
}

// FuzzBind: what is judged is what the client said, and what the directory is
// asked, by another decoder's reading of both.
func FuzzBind(f *testing.F) {
	for _, r := range []bindRequest{
		{id: 1, name: userDN, password: password}, {id: 1<<31 - 1, name: "a", password: "pä,ss\x00,123456"},
		{id: 128, name: "uid=\x00", password: "\xff"}, {id: 2, controls: []byte("\x30\x05\x04\x031.2")},
		{id: 70000, name: strings.Repeat("x", 300), password: strings.Repeat("y", 128), controls: []byte{}},
	} {
		f.Add(encodeBind(r))
	}
	f.Add(successWithControl(1))
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := parseHeader(frame, maxInspected, true)
		if err != nil || h.size != len(frame) || h.op != opBindRequest || guard(h, frame) != nil {
			return
		}
		judged, refused, err := decodeBind(h, frame, true, nil)
		if err != nil || refused != nil {
			return
		}
		if _, err := refusesControls(judged.controls, true); err != nil {
			return
		}
		require.True(t, !blank(judged.password) || judged.name == "" && judged.password == "")
		asked := encodeBind(judged)
		again, err := parseHeader(asked, maxInspected, true)
		require.NoError(t, err)
		require.NoError(t, guard(again, asked))
		back, refused, err := decodeBind(again, asked, true, nil)
		require.NoError(t, err)
		require.Nil(t, refused)
		require.Equal(t, judged, back)
		for _, b := range [][]byte{frame, asked} {
			id, name, pw := foreignBind(t, b)
			require.Equal(t, judged, bindRequest{id: id, name: name, password: pw, controls: judged.controls})
		}
	})
}

func foreignBind(t *testing.T, frame []byte) (id int32, name, password string) {
	packet, err := foreign.DecodePacketErr(frame)
	require.NoError(t, err)
	op := packet.Children[1].Children
	require.Equal(t, int64(3), op[0].Value)
	require.Equal(t, foreign.ClassContext, op[2].ClassType)
	require.Equal(t, foreign.TypePrimitive, op[2].TagType)
	return int32(packet.Children[0].Value.(int64)), op[1].Data.String(), op[2].Data.String()
}

// FuzzBindResponse: success and text are read only where another decoder reads
// them, and a response from which the password policy's control is taken says
// the same without it.
func FuzzBindResponse(f *testing.F) {
	f.Add(successWithControl(1))
	f.Add(encodeResult(2, ldap.ApplicationBindResponse, 49, "data 52e"))
	f.Add(withPolicy(encodeResult(3, ldap.ApplicationBindResponse, 49, ""), "\x30\x03\x81\x01\x00"))
	f.Add(withPolicy(successWithControl(1), ""))
	for _, code := range []string{"\x01\x00", "\x01\xff", "\x02\x00\x00", "\x02\x01\x00"} {
		body := "\x02\x01\x01\x61" + string(rune(len(code)+5)) + "\x0a" + code + "\x04\x00\x04\x00"
		f.Add([]byte("\x30" + string(rune(len(body))) + body))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := parseHeader(frame, maxInspected, false)
		if err != nil || h.size != len(frame) || h.op != opBindResponse {
			return
		}
		r, err := decodeBindResponse(h, frame)
		if err != nil {
			return
		}
		if packet, err := foreign.DecodePacketErr(frame); err == nil {
			require.Equal(t, int64(r.code), packet.Children[1].Children[0].Value)
			require.Equal(t, r.text, packet.Children[1].Children[2].Data.String())
		}
		rest := withoutPolicy(h, frame)
		again, err := parseHeader(rest, maxInspected, false)
		require.NoError(t, err)
		require.Equal(t, len(rest), again.size)
		back, err := decodeBindResponse(again, rest)
		require.NoError(t, err)
		require.Equal(t, bindResponse{code: r.code, text: r.text}, back)
		require.Equal(t, h.id, again.id)
	})
}

// withPolicy is a response with the password policy's control behind whatever
// controls it has.
func withPolicy(frame []byte, value string) []byte {
	h, _ := parseHeader(frame, maxInspected, false)
	_, controls := operation(h, frame)
	control := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	control.AppendChild(octets(oidPasswordPolicy))
	control.AppendChild(octets(value))
	all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	all.Data.Write(controls)
	all.AppendChild(control)
	m := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	m.Data.Write(messageIDElement(h, frame))
	m.Data.Write(frame[h.opAt : h.opAt+elementSize(frame[h.opAt:])])
	m.AppendChild(all)
	return m.Bytes()
}

func TestEncodedMessagesAreReadByAnotherDecoder(t *testing.T) {
	for _, n := range []int{0, 1, 100, 127, 128, 255, 256, 70000} {
		text := string(bytes.Repeat([]byte("é"), n/2))
		packet, err := foreign.DecodePacketErr(encodeExtended(0, oidNoticeOfDisconnection, ldap.LDAPResultUnavailable, text))
		require.NoError(t, err)
		require.Equal(t, int64(0), packet.Children[0].Value)
		op := packet.Children[1].Children
		require.Equal(t, int64(52), op[0].Value)
		require.Equal(t, text, op[2].Value)
		require.Equal(t, oidNoticeOfDisconnection, op[3].Data.String())
	}
	require.Equal(t, byte(0x61), ber.DecodePacket(encodeResult(1, ldap.ApplicationBindResponse, 0, "")).Children[1].Bytes()[0])
}
