package tailnet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ground is where nodes stand and control is in reach: this host's loopback, or the Ethernet
// between network namespaces.
type ground struct {
	address string // of control and relay
	hub     *host  // nil on loopback
	hosts   int    // made so far
}

func (g *ground) listen() (listener net.Listener, err error) {
	err = g.hub.within(func() error {
		listener, err = net.Listen("tcp4", g.address+":0")
		return err
	})
	return listener, err
}

func (g *ground) listenPacket() (packets *net.UDPConn, err error) {
	err = g.hub.within(func() error {
		packets, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(g.address)})
		return err
	})
	return packets, err
}

// Namespaces says why nodes with a TUN device cannot be had on this machine; nil means that they
// can.
func Namespaces() error {
	if os.Geteuid() != 0 {
		return errors.New("only root makes network namespaces")
	}
	for _, command := range [...]string{"ip", "unshare", "nsenter", "mount"} {
		if _, err := exec.LookPath(command); err != nil {
			return err
		}
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return tun.Close()
}

// host is a machine of its own: a network and a mount namespace, which live as long as the process
// that holds them. A nil host is this machine.
type host struct {
	holder *exec.Cmd
	input  io.Closer // its end is the holder's, also when this process is killed
}

// becomeHost hides what the host around it must not be asked for or told: /run with its D-Bus,
// where tailscaled would find the resolver to configure, and resolv.conf.
const becomeHost = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/etc /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
rm -f /etc/resolv.conf
: >/etc/resolv.conf
ip link set lo up
echo ready
exec cat`

func newHost() (*host, error) {
	holder := exec.Command("unshare", "--net", "--mount", "--propagation=private", "sh", "-c", becomeHost)
	var trouble strings.Builder
	holder.Stderr = &trouble
	input, err := holder.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, fmt.Errorf("making a namespace: %w", err)
	}
	h := &host{holder: holder, input: input}
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		h.end()
		return nil, fmt.Errorf("making a namespace: %w: %s", err, trouble.String())
	}
	return h, nil
}

func (h *host) end() {
	if h == nil {
		return
	}
	h.input.Close()
	_ = h.holder.Wait() // it only held the namespaces
}

// newEthernet makes the hub: the namespace with the bridge that hosts are plugged into, and where
// control listens.
func newEthernet() (*ground, error) {
	hub, err := newHost()
	if err != nil {
		return nil, err
	}
	g := &ground{address: "10.77.0.1", hub: hub, hosts: 1}
	return g, hub.run(`ip link add lan type bridge
		ip address add 10.77.0.1/16 dev lan
		ip link set lan up`)
}

// newHost plugs one more host in.
func (g *ground) newHost() (*host, error) {
	h, err := newHost()
	if err != nil {
		return nil, err
	}
	g.hosts++
	err = g.hub.run(fmt.Sprintf(`ip link add port%[1]d type veth peer name eth0 netns %[2]d
		ip link set port%[1]d master lan up`, g.hosts, h.holder.Process.Pid))
	if err != nil {
		h.end()
		return nil, err
	}
	return h, h.run(fmt.Sprintf(`ip address add 10.77.%d.%d/16 dev eth0
		ip link set eth0 up
		ip route add default via 10.77.0.1`, g.hosts/256, g.hosts%256))
}

// run runs the lines of a shell script on the host.
func (h *host) run(script string) error {
	out, err := h.command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("setting up the network of a namespace: %w: %s", err, out)
	}
	return nil
}

// command is a process on the host.
func (h *host) command(name string, args ...string) *exec.Cmd {
	if h == nil {
		return exec.Command(name, args...)
	}
	enter := []string{fmt.Sprintf("--target=%d", h.holder.Process.Pid), "--net", "--mount", "--", name}
	return exec.Command("nsenter", append(enter, args...)...)
}

// within calls f on a thread that is in the host's network namespace.
func (h *host) within(f func() error) error {
	if h == nil {
		return f()
	}
	return onOwnThread(h.enter, f)
}

// withinAs is within for sockets that belong to that user.
func (h *host) withinAs(uid int, f func() error) error {
	return onOwnThread(h.enter, func() error { return become(uid) }, f)
}

// onOwnThread calls the functions in order, up to the first error, on a thread that ends with them.
func onOwnThread(calls ...func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		for _, call := range calls {
			if err := call(); err != nil {
				result <- err
				return
			}
		}
		result <- nil
	}()
	return <-result
}

// enter moves the thread into the host's network namespace.
func (h *host) enter() error {
	if h == nil {
		return nil
	}
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.holder.Process.Pid))
	if err != nil {
		return fmt.Errorf("entering a namespace: %w", err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering a namespace: %w", err)
	}
	return nil
}

// become changes the thread's user ID for files, which the kernel also takes as the owner of new
// sockets.
func become(uid int) error {
	_, _ = unix.SetfsuidRetUid(uid) // it has no errors, and returns the previous ID
	if now, _ := unix.SetfsuidRetUid(uid); now != uid {
		return fmt.Errorf("becoming user %d: %w", uid, os.ErrPermission)
	}
	return nil
}
