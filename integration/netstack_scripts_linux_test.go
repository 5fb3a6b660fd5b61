// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// pySocksScript fetches a page with a password, and sends datagrams.
const pySocksScript = `
import hashlib, socket, socks, sys, urllib.parse
page, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
u = urllib.parse.urlsplit(page)
s = socks.socksocket()
s.settimeout(20)
s.set_proxy(socks.SOCKS5, "127.0.0.1", 1081, rdns=True, username="user", password="pass word")
s.connect((u.hostname, u.port))
s.sendall(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (u.path, u.hostname)).encode())
got = bytearray()
while True:
    b = s.recv(1 << 16)
    if not b: break
    got += b
print(hashlib.sha256(got.split(b"\r\n\r\n", 1)[1]).hexdigest())
d = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
d.settimeout(20)
d.set_proxy(socks.SOCKS5, "127.0.0.1", 1080)
for size in (1, 500, 1300, 3000):
    sent = bytes(i % 251 for i in range(size))
    d.sendto(sent, (host, port))
    b, source = d.recvfrom(1 << 16)
    if b != sent or source != (host, port): sys.exit("%d bytes from %s" % (len(b), source))
print("datagrams ok")
`

// nodeSocksScript does the same with the socks package of npm.
const nodeSocksScript = `
const { SocksClient } = require('socks'), crypto = require('crypto'), dgram = require('dgram');
const [page, host, port] = process.argv.slice(2), u = new URL(page);
(async () => {
  const c = await SocksClient.createConnection({ command: 'connect', timeout: 20000,
    proxy: { host: '127.0.0.1', port: 1081, type: 5, userId: 'user', password: 'pass word' }, destination: { host: u.hostname, port: +u.port } });
  const parts = [];
  c.socket.on('data', b => parts.push(b));
  await new Promise(done => { c.socket.on('end', done); c.socket.write('GET ' + u.pathname + ' HTTP/1.0\r\nHost: ' + u.hostname + '\r\n\r\n'); });
  const got = Buffer.concat(parts);
  console.log(crypto.createHash('sha256').update(got.subarray(got.indexOf('\r\n\r\n') + 4)).digest('hex'));
  const udp = dgram.createSocket('udp4');
  const a = new SocksClient({ command: 'associate', proxy: { host: '127.0.0.1', port: 1080, type: 5 }, destination: { host: '0.0.0.0', port: 0 } });
  a.on('error', e => { console.error(e); process.exit(1); });
  a.on('established', info => {
    udp.on('message', m => {
      const f = SocksClient.parseUDPFrame(m);
      console.log(f.remoteHost.host, f.remoteHost.port, f.data.toString());
      process.exit(0);
    });
    udp.send(SocksClient.createUDPFrame({ remoteHost: { host, port: +port }, data: Buffer.from('datagram') }), info.remoteHost.port, '127.0.0.1');
  });
  a.connect();
  setTimeout(() => process.exit(2), 20000).unref();
})().catch(e => { console.error(e); process.exit(1); });
`

func pySocks(t *testing.T, h *lab.Host, page, want string) {
	t.Helper()
	r := h.Exec(lab.Command{Path: python, Args: []string{"-c", pySocksScript, page, lab.TunnelB4.String(), fmt.Sprint(echoPort)}})
	if r.Code != 0 || r.Stdout != want+"\ndatagrams ok\n" {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

func nodeSocks(t *testing.T, h *lab.Host, page, want string) {
	t.Helper()
	h.WriteFile("/run/socks.js", nodeSocksScript, 0o644)
	r := h.Exec(lab.Command{
		Path: "node", Args: []string{"/run/socks.js", page, lab.TunnelB4.String(), fmt.Sprint(echoPort)},
		Env: []string{"NODE_PATH=/usr/share/nodejs"},
	})
	if r.Code != 0 || r.Stdout != fmt.Sprintf("%s\n%s %d datagram\n", want, lab.TunnelB4, echoPort) {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// relaySOCKS opens a UDP port at the loopback address of a host whose datagrams
// go to the target by UDP ASSOCIATE of the proxy (RFC 1928, section 7), for
// programs that know no proxies.
func relaySOCKS(t *testing.T, h *lab.Host, proxy string, target netip.AddrPort) netip.AddrPort {
	t.Helper()
	relay, err := associate(h, proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.control.Close(); relay.udp.Close() })
	var local *net.UDPConn
	if err := h.Do(func() (err error) {
		local, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := local.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			answer, err := relay.ask(target, buf[:n])
			if err != nil {
				return
			}
			local.WriteToUDPAddrPort(answer, from)
		}
	}()
	return local.LocalAddr().(*net.UDPAddr).AddrPort()
}

// An association is what UDP ASSOCIATE gives. It ends with the control connection.
type association struct {
	control net.Conn
	udp     net.Conn
}

func associate(h *lab.Host, proxy string) (*association, error) {
	c, err := dialIn(h, "tcp", proxy)
	if err != nil {
		return nil, err
	}
	var answer [10]byte
	_, err = c.Write([]byte{5, 1, 0})
	if err == nil {
		_, err = io.ReadFull(c, answer[:2])
	}
	if err == nil && answer != [10]byte{5, 0} {
		err = fmt.Errorf("greeted with %x", answer[:2])
	}
	if err == nil {
		_, err = c.Write([]byte{5, 3, 0, 1, 0, 0, 0, 0, 0, 0})
	}
	if err == nil {
		_, err = io.ReadFull(c, answer[:])
	}
	if err == nil && (answer[1] != 0 || answer[3] != 1) {
		err = fmt.Errorf("answered with %x", answer)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte(answer[4:8])), binary.BigEndian.Uint16(answer[8:]))
	udp, err := dialIn(h, "udp", at.String())
	if err != nil {
		c.Close()
		return nil, err
	}
	return &association{c, udp}, nil
}

// ask sends one datagram to an IPv4 address and returns the next from there.
func (a *association) ask(target netip.AddrPort, b []byte) ([]byte, error) {
	header := append([]byte{0, 0, 0, 1}, target.Addr().AsSlice()...)
	header = binary.BigEndian.AppendUint16(header, target.Port())
	if _, err := a.udp.Write(append(header, b...)); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	n, err := a.udp.Read(buf)
	if err != nil {
		return nil, err
	}
	if n < len(header) || string(buf[:len(header)]) != string(header) {
		return nil, errors.New("a datagram from elsewhere")
	}
	return buf[len(header):n], nil
}
