package dev.sipwake

import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.channels.OverlappingFileLockException
import java.nio.file.Files
import java.nio.file.LinkOption.NOFOLLOW_LINKS
import java.nio.file.NoSuchFileException
import java.nio.file.OpenOption
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardCopyOption.REPLACE_EXISTING
import java.nio.file.StandardOpenOption.CREATE
import java.nio.file.StandardOpenOption.CREATE_NEW
import java.nio.file.StandardOpenOption.READ
import java.nio.file.StandardOpenOption.WRITE
import java.nio.file.attribute.BasicFileAttributes
import java.nio.file.attribute.FileAttribute
import java.nio.file.attribute.PosixFileAttributes
import java.nio.file.attribute.PosixFilePermission.GROUP_WRITE
import java.nio.file.attribute.PosixFilePermission.OTHERS_WRITE
import java.nio.file.attribute.PosixFilePermissions
import java.nio.file.attribute.UserPrincipal

/**
 * Keeps each record in a file of this folder, for a desktop or a server. The files hold secrets and are not encrypted. If the system has
 * owners and permissions, only the owner can use the folder and the files. It follows no links, and refuses a folder that others may write
 * to. This protects against other users of the computer, not against programs of the same user.
 *
 * Only one client at a time can use the folder. When the store is closed or the process ends, another client can use it.
 *
 * @throws IOException if the folder cannot be made, if another client uses it, or if it belongs to others or they may write to it
 */
public class FileStore(private val folder: Path) : StateStore, AutoCloseable {
    private val hasOwners = "posix" in folder.fileSystem.supportedFileAttributeViews()
    private val owner: UserPrincipal?
    private val lock: FileChannel

    init {
        Files.createDirectories(folder, *owners("rwx------"))
        owner = if (hasOwners) check() else null
        lock = FileChannel.open(folder.resolve("lock"), setOf(CREATE, WRITE, NOFOLLOW_LINKS), *owners("rw-------"))
        val mine = try {
            lock.tryLock() != null
        } catch (_: OverlappingFileLockException) {
            false
        }
        if (!mine) {
            lock.close()
            throw IOException("$folder is in use by another client")
        }
    }

    override fun load(key: String): ByteArray? {
        val file = file(key)
        try {
            // A pipe instead of a file would block forever.
            if (!Files.readAttributes(file, BasicFileAttributes::class.java, NOFOLLOW_LINKS).isRegularFile) throw IOException("$file is no file")
            if (owner != null) checkOwner(file, owner)
            return Files.newInputStream(file, READ, NOFOLLOW_LINKS).use { it.readAllBytes() }
        } catch (_: NoSuchFileException) {
            return null
        }
    }

    override fun save(key: String, bytes: ByteArray) {
        val written = folder.resolve("written")
        Files.deleteIfExists(written)
        FileChannel.open(written, setOf<OpenOption>(CREATE_NEW, WRITE), *owners("rw-------")).use { channel ->
            val content = ByteBuffer.wrap(bytes)
            while (content.hasRemaining()) channel.write(content)
            channel.force(true)
        }
        Files.move(written, file(key), ATOMIC_MOVE, REPLACE_EXISTING)
    }

    override fun remove(key: String) {
        Files.deleteIfExists(file(key))
    }

    override fun keys(): Set<String> = Files.newDirectoryStream(folder, "$RECORD*").use { files ->
        files.map { it.fileName.toString().removePrefix(RECORD).chunked(2).map { byte -> byte.toInt(16).toByte() }.toByteArray().decodeToString() }.toSet()
    }

    override fun close(): Unit = lock.close()

    /** In hexadecimal, so that no key names a file elsewhere or differs from another only in case. */
    private fun file(key: String) = folder.resolve(key.encodeToByteArray().joinToString("", RECORD) { "%02x".format(it) })

    private fun owners(permissions: String): Array<FileAttribute<*>> =
        if (hasOwners) arrayOf(PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions))) else emptyArray()

    /** Refuses a file that somebody else put there while they could. */
    private fun checkOwner(file: Path, owner: UserPrincipal) {
        val known = Files.readAttributes(file, PosixFileAttributes::class.java, NOFOLLOW_LINKS)
        if (known.owner() != owner || OTHERS_WRITE in known.permissions()) {
            throw IOException("$file belongs to another user or others may write to it: remove it, or take that from them")
        }
    }

    /** Makes sure that nobody else can put files into the folder or replace it. Returns who we are. */
    private fun check(): UserPrincipal {
        if (Files.getPosixFilePermissions(folder).any { it == GROUP_WRITE || it == OTHERS_WRITE }) {
            throw IOException("others may write to $folder: take that from them (chmod go-w)")
        }
        val ours = Files.createTempFile(folder, "owner", "")
        try {
            val owner = Files.getOwner(ours)
            if (Files.getOwner(folder) != owner) throw IOException("$folder belongs to another user")
            val linked = Files.isSymbolicLink(folder) && Files.getOwner(folder, NOFOLLOW_LINKS).let { it != owner && it.name != "root" }
            if (linked) throw IOException("$folder is a link that another user made")
            return owner
        } finally {
            Files.deleteIfExists(ours)
        }
    }

    private companion object {
        const val RECORD = "record-"
    }
}
