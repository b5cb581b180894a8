package dev.sipwake

import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.channels.OverlappingFileLockException
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardCopyOption.REPLACE_EXISTING
import java.nio.file.StandardOpenOption.CREATE
import java.nio.file.StandardOpenOption.TRUNCATE_EXISTING
import java.nio.file.StandardOpenOption.WRITE

/**
 * Keeps each record in a file of this folder, for a desktop or a server. The files hold secrets and are not encrypted: the folder
 * is readable by its owner alone.
 *
 * One client at a time has the folder; it is free again once the store is closed or the process ends.
 *
 * @throws IOException if the folder cannot be made or is another client's
 */
public class FileStore(private val folder: Path) : StateStore, AutoCloseable {
    private val lock: FileChannel

    init {
        Files.createDirectories(folder)
        keepToOwner()
        lock = FileChannel.open(folder.resolve("lock"), CREATE, WRITE)
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

    override fun load(key: String): ByteArray? = try {
        Files.readAllBytes(file(key))
    } catch (_: NoSuchFileException) {
        null
    }

    override fun save(key: String, bytes: ByteArray) {
        val written = folder.resolve("written")
        FileChannel.open(written, CREATE, TRUNCATE_EXISTING, WRITE).use { channel ->
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

    private fun keepToOwner() {
        val all = folder.toFile()
        all.setReadable(false, false)
        all.setWritable(false, false)
        all.setExecutable(false, false)
        all.setReadable(true, true)
        all.setWritable(true, true)
        all.setExecutable(true, true)
    }

    private companion object {
        const val RECORD = "record-"
    }
}
