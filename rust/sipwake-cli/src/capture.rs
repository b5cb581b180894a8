//! All messages as a capture file for Wireshark (pcapng), without secrets. Each message is one UDP packet between two
//! invented addresses. The phone's port identifies the flow.

use std::borrow::Cow;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etherparse::PacketBuilder;
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use sipwake::Trace;

/// Addresses for documentation (RFC 5737).
const PHONE: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [192, 0, 2, 2];
const SIP: u16 = 5060;
/// The most bytes that fit into one datagram.
const LONGEST: usize = 65_000;
/// The most messages of one capture.
const MOST: usize = 100_000;

/// One message.
#[derive(Clone)]
pub(crate) struct Packet {
    /// Wall time.
    pub(crate) at: Duration,
    pub(crate) sent: bool,
    pub(crate) flow: u64,
    /// The message as a trace shows it, without secrets.
    pub(crate) text: String,
}

/// Collects the messages.
#[derive(Default)]
pub(crate) struct Capture(Mutex<Vec<Packet>>);

impl Capture {
    pub(crate) fn packets(&self) -> Vec<Packet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Trace for Capture {
    fn message(&self, sent: bool, flow: u64, text: &str) {
        let mut packets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if packets.len() < MOST {
            packets.push(Packet { at: sipwake::now().wall, sent, flow, text: text.to_owned() });
        }
    }
}

/// Replaces the blanks in hints. A trace shows a secret as `…k3Yz (163)`, which no URI may hold. It becomes
/// `hint-k3Yz-163`.
pub(crate) fn without_spaces_in_hints(text: &str) -> String {
    let mut pieces = text.split('…');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(HINT);
        match piece.split_once(" (").and_then(|(tail, rest)| Some((tail, rest.split_once(')')?))) {
            Some((tail, (count, rest))) if tail.chars().count() <= 4 => out.extend([tail, "-", count, rest]),
            _ => out.push_str(piece),
        }
    }
    out
}

/// The beginning of a secret in the shown messages.
pub(crate) const HINT: &str = "hint-";

/// Returns a message as it could have passed. A trace shows secrets and bodies in a form that is not SIP.
fn on_the_wire(text: &str) -> String {
    let text = without_spaces_in_hints(text);
    let mut wire = String::with_capacity(text.len() + 64);
    for line in text.lines().take_while(|line| !line.is_empty()) {
        if line.starts_with("Content-Length:") {
            wire.push_str("Content-Length: 0\r\n");
        } else if !line.starts_with('(') && !line.starts_with("Content-Type:") {
            wire.push_str(line);
            wire.push_str("\r\n");
        }
    }
    let keep_alive = wire.is_empty();
    wire + if keep_alive { "\r\n\r\n" } else { "\r\n" }
}

/// Writes a capture file.
pub(crate) fn write(path: &Path, packets: &[Packet]) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = pcapng(packets).map_err(|error| failed(&error))?;
    let mut out = std::fs::File::create(path).map_err(|error| failed(&error))?;
    out.write_all(&file).map_err(|error| failed(&error))
}

fn pcapng(packets: &[Packet]) -> Result<Vec<u8>, String> {
    let mut writer = PcapNgWriter::new(Vec::new()).map_err(|error| error.to_string())?;
    // The unit is nanoseconds, as the writer counts.
    let options = vec![InterfaceDescriptionOption::IfTsResol(9)];
    let interface = InterfaceDescriptionBlock { linktype: DataLink::IPV4, snaplen: 0, options };
    writer.write_pcapng_block(interface).map_err(|error| error.to_string())?;
    for packet in packets {
        let text = on_the_wire(&packet.text);
        let text = &text.as_bytes()[..text.len().min(LONGEST)];
        // Low ports belong to servers, so flows begin at 40,000.
        let own = 40_000 + u16::try_from(packet.flow % 20_000).unwrap_or(0);
        let (from, to) = if packet.sent { ((PHONE, own), (SERVER, SIP)) } else { ((SERVER, SIP), (PHONE, own)) };
        let builder = PacketBuilder::ipv4(from.0, to.0, 64).udp(from.1, to.1);
        let mut data = Vec::with_capacity(builder.size(text.len()));
        builder.write(&mut data, text).map_err(|error| error.to_string())?;
        let original_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: packet.at,
            original_len,
            data: Cow::Owned(data),
            options: Vec::new(),
        };
        writer.write_pcapng_block(block).map_err(|error| error.to_string())?;
    }
    Ok(writer.into_inner())
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::PcapNgReader;
    use pcap_file::pcapng::blocks::Block;

    use super::*;

    #[test]
    fn a_traced_message_becomes_a_whole_message_again() {
        let traced = "INVITE sip:a;pn-prid=…0001 (43) SIP/2.0\nContent-Type: application/sdp\nContent-Length: 134\n(134 bytes of body)\n";
        assert_eq!(on_the_wire(traced), "INVITE sip:a;pn-prid=hint-0001-43 SIP/2.0\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(on_the_wire("\r\n\r\n"), "\r\n\r\n");
    }

    #[test]
    fn each_message_is_a_packet_with_its_time_and_its_direction() {
        let packet = |sent, text: &str| Packet {
            at: Duration::from_millis(1_790_000_000_123),
            sent,
            flow: 3,
            text: text.to_owned(),
        };
        let long = "x".repeat(100_000);
        let file = pcapng(&[
            packet(true, "REGISTER sip:a SIP/2.0\r\n\r\n"),
            packet(false, "SIP/2.0 200 OK\r\n\r\n"),
            packet(true, &long),
        ]);
        let file = file.expect("it can be written");
        let mut reader = PcapNgReader::new(file.as_slice()).expect("pcapng");
        let mut read = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.expect("a block") {
                read.push((packet.data[12..16].to_vec(), packet.data[28..].to_vec()));
            }
        }
        assert_eq!(read.len(), 3);
        assert_eq!((read[0].0.as_slice(), read[1].0.as_slice()), (&PHONE[..], &SERVER[..]));
        assert!(
            read[0].1.starts_with(b"REGISTER ") && read[1].1.starts_with(b"SIP/2.0 200") && read[2].1.len() == LONGEST
        );
    }
}
