package dev.sipwake.android

import android.content.Context
import android.os.UserManager
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyPermanentlyInvalidatedException
import android.security.keystore.KeyProperties
import android.util.AtomicFile
import dev.sipwake.StateStore
import dev.sipwake.StoreShutException
import java.io.File
import java.io.FileNotFoundException
import java.io.RandomAccessFile
import java.nio.channels.FileLock
import java.nio.channels.OverlappingFileLockException
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.ProviderException
import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec

/**
 * Keeps records in files that only this app can read, encrypted under a key that never leaves the Android Keystore.
 *
 * The files are excluded from backups, because a binding belongs to one installation. The key works while the screen is locked,
 * because pushes come then, too. Before the first unlock after a restart the files cannot be read. At that time Android starts only
 * apps that are direct-boot aware. For them the store is shut, not empty. It is also shut if the Keystore fails for a moment
 * ([StoreShutException]). If a record was changed, or its key is gone, nobody can ever read it, and another exception says so.
 *
 * If an app has several processes, only one can write: the first that writes, until it ends. For the others the store is shut for
 * writing, but they can read.
 *
 * @param context any context of the app
 * @param keyAlias the key's name in the Keystore
 */
public class KeystoreStateStore @JvmOverloads constructor(
    context: Context,
    private val keyAlias: String = "dev.sipwake.state",
) : StateStore {
    private val context = context.applicationContext
    private val sealed by lazy { SealedFiles(File(this.context.noBackupFilesDir, "sipwake"), ::key) }

    override fun load(key: String): ByteArray? = open { sealed.load(key) }

    override fun save(key: String, bytes: ByteArray): Unit = open { sealed.save(key, bytes) }

    override fun remove(key: String): Unit = open { sealed.remove(key) }

    override fun keys(): Set<String> = open { sealed.keys() }

    private fun <T> open(action: () -> T): T {
        if (!context.system<UserManager>().isUserUnlocked) throw StoreShutException("the phone was not unlocked since its start")
        return shutWhereItPasses(action)
    }

    /** Makes a new key only for writing. If the Keystore finds no key, records under the old one must not be lost. */
    @Synchronized
    private fun key(make: Boolean): SecretKey? {
        val keystore = KeyStore.getInstance(KEYSTORE).apply { load(null) }
        (keystore.getKey(keyAlias, null) as SecretKey?)?.let { return it }
        if (!make) return null
        val use = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val spec = KeyGenParameterSpec.Builder(keyAlias, use)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .setKeySize(KEY_BITS)
            .build()
        return KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, KEYSTORE).apply { init(spec) }.generateKey()
    }

    private companion object {
        const val KEYSTORE = "AndroidKeyStore"
        const val KEY_BITS = 256
    }
}

/** The Keystore is another process with a chip. Its errors pass, except for a damaged record or an invalid key. */
internal fun <T> shutWhereItPasses(action: () -> T): T = try {
    action()
} catch (damaged: AEADBadTagException) {
    throw damaged
} catch (void: KeyPermanentlyInvalidatedException) {
    throw void
} catch (passing: GeneralSecurityException) {
    throw StoreShutException("the Keystore: $passing", passing)
} catch (passing: ProviderException) {
    throw StoreShutException("the Keystore: $passing", passing)
}

/** One file for each record, bound to the record's name: a version, the nonce that the cipher chose, the ciphertext. */
internal class SealedFiles(private val folder: File, private val key: (make: Boolean) -> SecretKey?) {
    fun load(name: String): ByteArray? {
        val stored = try {
            file(name).readFully()
        } catch (_: FileNotFoundException) {
            return null
        }
        require(stored.size > HEADER && stored[0] == VERSION) { "not a record of this version" }
        val key = checkNotNull(key(false)) { "the key of this record is gone" }
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.DECRYPT_MODE, key, GCMParameterSpec(TAG_BITS, stored, 1, NONCE))
        cipher.updateAAD(name.toByteArray())
        return cipher.doFinal(stored, HEADER, stored.size - HEADER)
    }

    fun save(name: String, bytes: ByteArray) {
        Writers.claim(folder)
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.ENCRYPT_MODE, key(true))
        cipher.updateAAD(name.toByteArray())
        val ciphertext = cipher.doFinal(bytes)
        check(cipher.iv.size == NONCE) { "the cipher's nonce has another length" }
        folder.mkdirs()
        val file = file(name)
        val stream = file.startWrite()
        try {
            stream.write(byteArrayOf(VERSION) + cipher.iv + ciphertext)
            // It also syncs, because what depends on this record is sent right after.
            file.finishWrite(stream)
        } catch (failure: Exception) {
            file.failWrite(stream)
            throw failure
        }
    }

    fun remove(name: String) {
        Writers.claim(folder)
        file(name).delete()
    }

    fun keys(): Set<String> = folder.list().orEmpty().filter(::isKey).toSet()

    private fun file(name: String): AtomicFile {
        require(isKey(name)) { "not a record's key" }
        return AtomicFile(File(folder, name))
    }

    /** AtomicFile's own files beside a record have a dot in their names. */
    private fun isKey(name: String) = name.isNotEmpty() && name.all { it in 'a'..'z' || it in '0'..'9' || it == '-' }

    private companion object {
        const val VERSION: Byte = 1
        const val CIPHER = "AES/GCM/NoPadding"
        const val NONCE = 12
        const val HEADER = 1 + NONCE
        const val TAG_BITS = 128
    }
}

/**
 * One process of an app writes, from its first write until it ends, because two clients on one store would use the same Call-ID and
 * CSeq. The others read, and one of them takes over when the writer has ended.
 */
private object Writers {
    private val locks = HashMap<File, FileLock>()

    @Synchronized
    fun claim(folder: File) {
        if (folder in locks) return
        folder.mkdirs()
        val channel = RandomAccessFile(File(folder, "writer.lock"), "rw").channel
        val lock = try {
            channel.tryLock()
        } catch (_: OverlappingFileLockException) {
            null
        }
        if (lock == null) {
            channel.close()
            throw StoreShutException("another process of this app writes to it")
        }
        locks[folder] = lock
    }
}
